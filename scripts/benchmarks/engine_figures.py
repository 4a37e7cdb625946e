"""From arrival times to figures: pure arithmetic."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from scripts.benchmarks.engine_load import INTRUDER, Answer

Figures = dict[str, float]
"""Of one load, by name; times in milliseconds."""
Spread = dict[str, float | None]
"""Of one figure over the runs: `median`, `low` and `high`; None where no run has it."""


class _Token(NamedTuple):
    """When it arrived, and how long after the one before it; the first of an answer has none before it."""

    at: float
    gap_ms: float | None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of all values does not exceed (nearest rank); NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def load_figures(answers: Sequence[Answer]) -> Figures:
    """Of clients that ask at the same time; tokens per second are those from the first request to the last token.

    Raises ValueError when no token came.
    """
    begun = [answer for answer in answers if answer.arrivals]
    if not begun:
        raise ValueError("no token came")
    took = max(answer.arrivals[-1] for answer in begun) - min(answer.sent for answer in answers)
    gaps = [gap for answer in begun for gap in _gaps(answer.arrivals)]
    return {
        "tokens": sum(answer.tokens for answer in begun),
        "prompt_tokens": sum(answer.prompt_tokens or 0 for answer in begun),
        "tokens_per_s": sum(answer.tokens for answer in begun) / took,
        "first_p50_ms": percentile([first_ms(answer) for answer in begun], 0.5),
        "first_worst_ms": max(first_ms(answer) for answer in begun),
        "between_p50_ms": percentile(gaps, 0.5),
        "between_p99_ms": percentile(gaps, 0.99),
    }


def intruder_figures(disturbed: Sequence[Answer], calm: Sequence[Answer], alone_ms: float) -> Figures:
    """Of streams among which a long prompt came, and of the same streams without it: what they did to each other.

    What is undisturbed is taken from the same tokens of the same streams, for a token takes longer the more there are
    before it. `alone_ms` is what the long prompt's first token takes with nobody else there. `yielded_ms` is what the
    steps that the streams made meanwhile take without it: as many as the stream that got furthest has tokens, at the
    median. Raises ValueError when the intruder has no token.
    """
    intruder = next(answer for answer in disturbed if answer.client == INTRUDER)
    began, ended = intruder.sent, intruder.sent + first_ms(intruder) / 1000
    during, undisturbed, steps = [], [], 0
    for client in {answer.client for answer in disturbed} - {INTRUDER}:
        tokens = _tokens(disturbed, client)
        # The gap in which the prompt comes is one of those that it may lengthen.
        first, last = (sum(token.at <= moment for token in tokens) for moment in (began, ended))
        during += [token.gap_ms for token in tokens[first:last] if token.gap_ms is not None]
        undisturbed += [token.gap_ms for token in _tokens(calm, client)[first:last] if token.gap_ms is not None]
        steps = max(steps, last - first)
    return {
        "calm_p50_ms": percentile(undisturbed, 0.5),
        "calm_p99_ms": percentile(undisturbed, 0.99),
        "disturbed_p50_ms": percentile(during, 0.5),
        "disturbed_p99_ms": percentile(during, 0.99),
        "alone_ms": alone_ms,
        "first_ms": first_ms(intruder),
        "yielded_ms": steps * percentile(undisturbed, 0.5),
    }


def longest(answers: Sequence[Answer]) -> int:
    """The most tokens that one client has in all its answers, the intruder aside."""
    clients = {answer.client for answer in answers} - {INTRUDER}
    return max((len(_tokens(answers, client)) for client in clients), default=0)


def first_ms(answer: Answer) -> float:
    """From the request to its first token. Raises ValueError when none came."""
    if not answer.arrivals:
        raise ValueError("no token came")
    return (answer.arrivals[0] - answer.sent) * 1000


def spread(runs: Sequence[Figures]) -> dict[str, Spread]:
    """Every figure's median over the runs, and the lowest and highest."""
    names = runs[0] if runs else {}
    return {name: _spread([run[name] for run in runs]) for name in names}


def median(spreads: Mapping[str, Spread] | None, name: str) -> float | None:
    """The median of a figure, or None when it was not measured."""
    return None if not spreads else spreads[name]["median"]


def _spread(values: Sequence[float]) -> Spread:
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return {"median": None, "low": None, "high": None}
    return {
        "median": round(statistics.median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


def _gaps(arrivals: Sequence[float]) -> list[float]:
    return [(late - early) * 1000 for early, late in pairwise(arrivals)]


def _tokens(answers: Sequence[Answer], client: int) -> list[_Token]:
    """All that one client got, in the order of its answers."""
    return [
        _Token(at, gap)
        for answer in answers
        if answer.client == client
        for at, gap in zip(answer.arrivals, [None, *_gaps(answer.arrivals)], strict=False)
    ]
