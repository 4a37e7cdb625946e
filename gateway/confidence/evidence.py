"""What the tokens of an answer say about it.

The mean log-probability of the chosen tokens measures the temperature more than the answer: at temperature 1 it
is below the customary floor of -1.5 for nearly every easy, right answer of a small model, and at temperature 0
for none. So each token is read by the *greedy* one in its place, which sampling does not touch: how sure was the
model of what it would have said? A low quantile over the tokens counts, not the mean, because one word in doubt
among many that follow by themselves is what a wrong answer looks like. What remains of the temperature (a model
that strayed is less sure of how to go on) is taken out by floors that are measured per model and band.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from gateway.messages import Choice, TokenLogprob

_QUANTILE = 0.25
_FEWEST_TOKENS = 2


class Band(StrEnum):
    """A range of temperatures within which one pair of floors will do."""

    COLD = "cold"  # up to 0.35: greedy, or nearly
    WARM = "warm"  # up to 0.85
    HOT = "hot"  # above, the API's default of 1 included


class Floors(Struct, frozen=True):
    """Evidence of answers to easy prompts: `low` is what 1 in 50 falls below, `usual` is the median."""

    low: float
    usual: float


class Calibration(Struct, frozen=True):
    """A model's floors by band; where a band was not measured the evidence of an answer is unknown.

    `default_temperature` is what the backend samples at when a request names no temperature.
    """

    floors: Mapping[Band, Floors]
    default_temperature: float = 1.0


def band_of(temperature: float) -> Band:
    """The band of a temperature."""
    if temperature > 0.85:
        return Band.HOT
    return Band.COLD if temperature <= 0.35 else Band.WARM


def evidence(choice: Choice) -> float | None:
    """The lower quartile of the greedy tokens' log-probabilities, or None without logprobs to read.

    Reasoning tokens are left out: a thinking model doubts on purpose.
    """
    tokens = scored_tokens(choice)
    if len(tokens) < _FEWEST_TOKENS:
        return greedy_logprob(tokens[0]) if tokens else None
    values = sorted(map(greedy_logprob, tokens))
    # Between two tokens where the quarter falls between them: rounded down, an answer of a few words would be read by
    # its worst token.
    place = _QUANTILE * (len(values) - 1)
    below = int(place)
    return values[below] + (place - below) * (values[min(below + 1, len(values) - 1)] - values[below])


def scored_tokens(choice: Choice) -> Sequence[TokenLogprob]:
    """The tokens of the answer itself: where reasoning came first, only as many from the end as make up the text."""
    tokens = choice.logprobs or ()
    if not choice.reasoning or not tokens:
        return tokens
    left = len(choice.text or "")
    start = len(tokens)
    while start > 0 and left > 0:
        start -= 1
        left -= len(tokens[start].token)
    return tokens[start:]


def greedy_logprob(token: TokenLogprob) -> float:
    """The log-probability of the likeliest token in this place, whichever was drawn."""
    own, likeliest = token.logprob, token.top_logprobs
    return likeliest[0].logprob if likeliest and likeliest[0].logprob > own else own


def trust(value: float, floors: Floors) -> float:
    """Evidence on a scale of 0 to 1: 0.5 at the low floor, 0.75 at the usual value, straight between them.

    Above the usual value it nears 0.95, never 1: a model may be sure and wrong. Below the floor it falls to 0
    within the distance from the floor to the usual value.
    """
    above = (value - floors.low) / max(1e-6, floors.usual - floors.low)
    if above <= 1:
        return max(0.0, 0.5 + (0.25 if above >= 0 else 0.5) * above)
    return 0.75 + 0.2 * (1 - math.exp(1 - above))
