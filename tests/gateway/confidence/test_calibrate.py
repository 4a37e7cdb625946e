"""Floors out of evidence: how many good answers would be doubted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.confidence.calibrate import ONE_IN, floors_of, held_part
from gateway.confidence.evidence import Floors, evidence, trust
from gateway.messages import TokenLogprob
from tests.gateway.nouns import CHOICE, change

# As many digits as floors are kept with, so that rounding plays no part.
EVIDENCE = st.lists(st.integers(-20_000, 0).map(lambda value: value / 1000), min_size=1, max_size=300)


@pytest.mark.parametrize(("count", "below"), [(1, 0), (2, 0), (49, 0), (50, 1), (99, 1), (100, 2), (150, 3), (200, 4)])
def test_one_in_fifty_falls_below_the_low_floor(count: int, below: int) -> None:
    """Counted, not interpolated: of 100 different answers exactly 2, of fewer than 50 none."""
    values = [-float(number) for number in range(count)]
    floors = floors_of(values)
    assert sum(value < floors.low for value in values) == below


@given(EVIDENCE)
@settings(max_examples=200, deadline=None)
def test_no_more_than_that_and_no_floor_lower_than_need_be(values: list[float]) -> None:
    """Whatever the evidence, ties included: at most 1 in 50 falls below, and more would below any higher value."""
    low = floors_of(values).low
    assert low in values
    assert sum(value < low for value in values) * ONE_IN <= len(values)
    higher = [value for value in values if value > low]
    assert not higher or sum(value < min(higher) for value in values) * ONE_IN > len(values)


@given(EVIDENCE)
@settings(max_examples=100, deadline=None)
def test_the_usual_value_is_the_median(values: list[float]) -> None:
    """Half lies on either side of it, and it is never below the low floor."""
    floors = floors_of(values)
    assert floors.low <= floors.usual
    assert sum(value < floors.usual for value in values) <= len(values) / 2
    assert sum(value > floors.usual for value in values) <= len(values) / 2


def test_floors_are_kept_with_three_digits() -> None:
    """More would only look exact."""
    assert floors_of([-1.23456, -1.0, -0.98765]) == Floors(low=-1.235, usual=-1.0)


def test_the_median_answer_is_trusted_and_one_in_fifty_is_doubted() -> None:
    """What the floors are for: 0.75 for what is usual, below 0.5 for one answer in 50."""
    values = [-number / 100 for number in range(100)]
    floors = floors_of(values)
    trusts = [trust(value, floors) for value in values]
    assert trust(floors.usual, floors) == pytest.approx(0.75)
    assert sum(each < 0.5 for each in trusts) == 2


def test_no_evidence_gives_no_floors() -> None:
    """Rather than floors that nobody measured."""
    with pytest.raises(ValueError, match="no evidence"):
        floors_of([])


def test_of_a_stream_the_first_tokens_are_held() -> None:
    """What the gateway has in hand when the window closes is scored, and nothing after it."""
    tokens = tuple(TokenLogprob("a", -1.0 * number) for number in range(6))
    held = held_part(change(CHOICE, logprobs=tokens), 3)
    assert held is not None
    assert held.logprobs == tokens[:3]
    assert evidence(held) == -1.5
    assert held_part(change(CHOICE, logprobs=tokens), 100) == change(CHOICE, logprobs=tokens)


def test_an_answer_without_logprobs_holds_none() -> None:
    """And gives no evidence, like an answer that was held for no token at all."""
    for held in (held_part(CHOICE, 3), held_part(change(CHOICE, logprobs=(TokenLogprob("a", -1.0),)), 0)):
        assert held is not None
        assert evidence(held) is None


def test_a_thinking_model_holds_only_thoughts() -> None:
    """The window closes before the answer begins, so there is nothing to be measured in it."""
    assert held_part(change(CHOICE, reasoning="hm", logprobs=(TokenLogprob("a", -1.0),)), 3) is None
