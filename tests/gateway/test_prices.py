"""Money is whole nano-dollars, and no rounding ever favours us over the invoice."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.messages import Usage
from gateway.prices import NANO, cost, dollars, price_from_dollars, usage_cost
from gateway.types import Price

TOKENS = st.integers(0, 10**9)
PER_MILLION = st.integers(0, 10**14)
PRICES = st.builds(Price, PER_MILLION, PER_MILLION, PER_MILLION)
PLENTY = settings(max_examples=300, deadline=None)

MINI = Price(input=250_000_000, output=2_000_000_000, cached=25_000_000)
"""$0.25, $2.00 and $0.025 per million tokens."""


def test_tokens_put_into_a_cache_have_a_price_of_their_own() -> None:
    """Of ten prompt tokens three were read and four written; no more are counted than the prompt has."""
    price = Price(input=1_000_000, output=0, cached=100_000, cache_write=1_250_000)
    assert cost(price, 10, 0, 3, 4) == 9
    assert cost(price, 10, 0, 0, 99) == cost(price, 10, 0, 0, 10) == 13
    assert cost(price, 10, 0, 99, 99) == cost(price, 10, 0, 10, 0) == 1
    assert usage_cost(price, Usage(prompt=10, cached=3, cache_written=4)) == 9


@pytest.mark.parametrize(
    ("prompt", "completion", "cached", "nano"),
    [
        (0, 0, 0, 0),
        (1, 0, 0, 250),
        (0, 1, 0, 2_000),
        (1_000_000, 0, 0, 250_000_000),
        (1_000_000, 1_000_000, 0, 2_250_000_000),
        (100, 50, 0, 125_000),
        (100, 0, 100, 2_500),
        (100, 0, 40, 16_000),
        (100, 0, 500, 2_500),
    ],
)
def test_tokens_cost_what_the_price_list_says(prompt: int, completion: int, cached: int, nano: int) -> None:
    """Prompt, answer and cached tokens at their prices; more cached than prompt tokens are all of the prompt."""
    assert cost(MINI, prompt, completion, cached) == nano


@pytest.mark.parametrize(
    ("price", "nano"),
    [(Price(input=1), 1), (Price(input=999_999), 1), (Price(input=1_000_000), 1), (Price(input=1_000_001), 2)],
)
def test_what_does_not_come_out_even_is_rounded_up(price: Price, nano: int) -> None:
    """A millionth of a nano-dollar is charged as one."""
    assert cost(price, 1, 0) == nano


def test_rounding_happens_once() -> None:
    """Three parts that are each less than a nano-dollar make one, not three."""
    assert cost(Price(input=300_000, output=300_000, cached=300_000), 2, 1, 1) == 1


@PLENTY
@given(PRICES, TOKENS, TOKENS, TOKENS)
def test_a_cost_is_never_below_the_exact_amount_and_less_than_one_above(
    price: Price, prompt: int, completion: int, cached: int
) -> None:
    """The exact rational amount, rounded up to the next whole nano-dollar: a whole number, and no other."""
    cached = min(cached, prompt)
    exact = Fraction((prompt - cached) * price.input + cached * price.cached + completion * price.output, 1_000_000)
    charged = cost(price, prompt, completion, cached)
    assert type(charged) is int
    assert exact <= charged < exact + 1


@PLENTY
@given(PRICES, TOKENS, TOKENS, TOKENS)
def test_a_cost_fits_the_ledger(price: Price, prompt: int, completion: int, cached: int) -> None:
    """At the dearest price a configuration takes and the most tokens an answer may claim, 64 bits are enough."""
    assert 0 <= 10 * cost(price, prompt, completion, cached) < 2**63


@PLENTY
@given(PRICES, st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS))
def test_usage_costs_its_tokens(price: Price, usage: Usage) -> None:
    """Reasoning tokens are part of the answer's and are not charged again."""
    assert usage_cost(price, usage) == cost(price, usage.prompt, usage.completion, usage.cached)


@pytest.mark.parametrize(
    ("given_dollars", "expected"),
    [
        (("0.25", "2.00", None, None), Price(250_000_000, 2_000_000_000, 250_000_000, 250_000_000)),
        (("3", "15", "0.3", "3.75"), Price(3_000_000_000, 15_000_000_000, 300_000_000, 3_750_000_000)),
        (("0", "0", None, None), Price()),
        (("0.000000001", "0.000000003", "0", None), Price(1, 3, 0, 1)),
        (("100000", "99999.999999999", None, None), Price(10**14, 10**14 - 1, 10**14, 10**14)),
    ],
)
def test_price_lists_are_read_exactly(given_dollars: tuple[str | None, ...], expected: Price) -> None:
    """Dollars per million tokens to the ninth decimal; tokens read from a cache or put into it cost like fresh ones
    unless a price is given.
    """
    per_input, per_output, per_cached, per_write = [None if text is None else Decimal(text) for text in given_dollars]
    assert per_input is not None
    assert per_output is not None
    assert price_from_dollars(per_input, per_output, per_cached, per_write) == expected


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.0"),
        (1, "0.000000001"),
        (1500, "0.0000015"),
        (10, "0.00000001"),
        (NANO, "1.0"),
        (NANO + 1, "1.000000001"),
        (1_250_000_000, "1.25"),
        (123_456_789_012_345_678, "123456789.012345678"),
    ],
)
def test_amounts_are_written_as_plain_decimals(nano: int, text: str) -> None:
    """No exponent, no digit lost, no needless zero."""
    assert dollars(nano) == text


@PLENTY
@given(st.integers(0, 2**63))
def test_a_written_amount_is_the_amount(nano: int) -> None:
    """Reading it back as a decimal gives every nano-dollar again."""
    assert Decimal(dollars(nano)) * NANO == nano
