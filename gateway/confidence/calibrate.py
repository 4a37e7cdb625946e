"""Confidence floors out of answers to easy prompts. Pure; whoever asks for the answers stands above.

A floor is a promise about false alarms: of answers that nothing is wrong with, 1 in 50 falls below `low`. So it is
the value that exactly a fiftieth of them lies below, counted and not interpolated; from fewer than 50 answers it is
the lowest there was, which is a guess.
"""

import statistics
from collections.abc import Sequence

import msgspec

from gateway.confidence.evidence import Floors
from gateway.messages import Choice

ONE_IN = 50
"""How many good answers one false alarm comes from."""

_DIGITS = 3


def floors_of(values: Sequence[float]) -> Floors:
    """The floors of a band, from the evidence of at least one answer."""
    if not values:
        raise ValueError("no evidence, no floors")
    ordered = sorted(values)
    return Floors(low=round(ordered[len(ordered) // ONE_IN], _DIGITS), usual=round(statistics.median(ordered), _DIGITS))


def held_part(choice: Choice, tokens: int) -> Choice | None:
    """What of an answer is there to be scored when a stream's probation window of so many tokens closes.

    None for a thinking model: its window is full of reasoning, which is no evidence.
    """
    if choice.reasoning:
        return None
    return msgspec.structs.replace(choice, logprobs=(choice.logprobs or ())[:tokens])
