"""What the tokens of an answer say about it, whatever the temperature they were drawn at."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.confidence.evidence import Band, Floors, band_of, evidence, greedy_logprob, scored_tokens, trust
from gateway.messages import Choice, TokenLogprob, TopLogprob
from tests.gateway.nouns import CHOICE, change

FLOORS = Floors(low=-2.0, usual=-0.5)


def token(logprob: float, *tops: float, text: str = "a") -> TokenLogprob:
    """A token that was drawn with this log-probability, beside likelier ones."""
    return TokenLogprob(text, logprob, top_logprobs=tuple(TopLogprob("b", top) for top in tops))


def answer(*logprobs: float) -> Choice:
    """An answer whose tokens had these log-probabilities."""
    return change(CHOICE, logprobs=tuple(token(each) for each in logprobs))


@pytest.mark.parametrize(
    ("drawn", "greedy"),
    [
        (token(-1.0), -1.0),
        (token(-3.0, -0.2), -0.2),
        (token(-0.2, -0.2, -3.0), -0.2),
        (token(-3.0, -0.2, -0.9), -0.2),
        # A backend that rounds may tell the likeliest as less likely than the one that was drawn.
        (token(-0.1, -0.2), -0.1),
    ],
)
def test_the_greedy_token_counts_and_not_the_drawn_one(drawn: TokenLogprob, greedy: float) -> None:
    """How sure was the model of what it would have said?"""
    assert greedy_logprob(drawn) == greedy


@pytest.mark.parametrize(
    ("logprobs", "value"),
    [
        ((), None),
        ((-3.0,), -3.0),
        ((-1.0, -2.0), -1.75),
        ((-1.0, -2.0, -3.0, -4.0), -3.25),
        ((-1.0, -2.0, -3.0, -4.0, -5.0), -4.0),
        ((0.0,) * 90 + (-9.0,) * 10, 0.0),
        ((0.0,) * 70 + (-9.0,) * 30, -9.0),
    ],
)
def test_the_lower_quartile_is_the_evidence(logprobs: tuple[float, ...], value: float | None) -> None:
    """A quarter of the way through the tokens in order of doubt; a few odd words among many do not count."""
    assert evidence(answer(*logprobs)) == value


def test_no_logprobs_is_no_evidence() -> None:
    """Not a bad sign: nothing."""
    assert evidence(CHOICE) is None
    assert evidence(change(CHOICE, logprobs=())) is None


LOGPROBS = st.lists(st.floats(-20, 0), min_size=1, max_size=30)


@given(LOGPROBS, st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_tokens_does_not_matter(logprobs: list[float], dice: random.Random) -> None:
    """Doubt counts wherever it stands; the evidence lies among the values."""
    shuffled = dice.sample(logprobs, len(logprobs))
    found = evidence(answer(*logprobs))
    assert found == evidence(answer(*shuffled))
    assert found is not None
    assert min(logprobs) <= found <= max(logprobs)


@given(LOGPROBS, st.data())
@settings(max_examples=100, deadline=None)
def test_drawing_other_tokens_does_not_change_the_evidence(logprobs: list[float], data: st.DataObject) -> None:
    """At any temperature the greedy tokens in these places are the same, and so is what they say."""
    drawn = [token(data.draw(st.floats(-30, greedy)), greedy) for greedy in logprobs]
    assert evidence(change(CHOICE, logprobs=tuple(drawn))) == evidence(answer(*logprobs))


def test_reasoning_tokens_are_left_out() -> None:
    """A thinking model doubts on purpose: of its tokens only as many from the end as make up the text."""
    thought = tuple(token(-9.0, text="hm ") for _ in range(20))
    said = tuple(token(-0.1, text=each) for each in ("for", "ty ", "two"))
    choice = change(CHOICE, text="forty two", reasoning="hm " * 20, logprobs=thought + said)
    assert scored_tokens(choice) == said
    assert evidence(choice) == -0.1
    assert evidence(change(choice, reasoning=None)) == -9.0


def test_an_answer_that_is_only_reasoning_has_no_evidence() -> None:
    """Nothing was said yet, so nothing can be trusted or doubted."""
    thought = tuple(token(-9.0) for _ in range(3))
    assert evidence(change(CHOICE, text=None, reasoning="aaa", logprobs=thought)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-2.0, 0.5),
        (-0.5, 0.75),
        (-1.25, 0.625),
        (-2.75, 0.25),
        (-3.5, 0.0),
        (-100.0, 0.0),
        (0.0, 0.75 + 0.2 * (1 - math.exp(-1 / 3))),
    ],
)
def test_trust_is_read_off_the_floors(value: float, expected: float) -> None:
    """0.5 at the low floor, 0.75 at the usual value, 0 as far below the floor as that is above it."""
    assert trust(value, FLOORS) == pytest.approx(expected)


FLOOR_PAIRS = st.tuples(st.floats(-20, 0), st.floats(-20, 0)).map(lambda pair: Floors(min(pair), max(pair)))


@given(st.floats(-100, 0), st.floats(-100, 0), FLOOR_PAIRS)
@settings(max_examples=200, deadline=None)
def test_more_evidence_is_never_less_trust(one: float, other: float, floors: Floors) -> None:
    """The curve only rises, stays within 0 and 0.95, and equal floors do no harm."""
    lower, higher = sorted((trust(min(one, other), floors), trust(max(one, other), floors)))
    assert (lower, higher) == (trust(min(one, other), floors), trust(max(one, other), floors))
    assert 0.0 <= lower <= higher <= 0.95


@pytest.mark.parametrize(
    ("temperature", "band"),
    [
        (0.0, Band.COLD),
        (0.35, Band.COLD),
        (0.36, Band.WARM),
        (0.7, Band.WARM),
        (0.85, Band.WARM),
        (0.86, Band.HOT),
        (1.0, Band.HOT),
        (2.0, Band.HOT),
    ],
)
def test_every_temperature_has_a_band(temperature: float, band: Band) -> None:
    """Greedy and nearly so, in between, and from about the API's default on."""
    assert band_of(temperature) is band
