"""From arrival times to figures: pure arithmetic."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

from scripts.benchmarks.engine_load import INTRUDER, Answer

Figures = dict[str, float]
"""Of one load, by name; times in milliseconds."""
Spread = dict[str, float | None]
"""Of one figure over the runs: `median`, `low` and `high`; None where no run has it."""


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


def intruder_figures(answers: Sequence[Answer], alone_ms: float) -> Figures:
    """Of streams among which a long prompt came: what it did to them, and they to it.

    `alone_ms` is what the long prompt's first token takes with nobody else there. `yielded_ms` is what the steps that
    the streams made meanwhile take without it: as many as the stream that got furthest has tokens, at the median.
    Raises ValueError when the intruder has no token.
    """
    intruder = next(answer for answer in answers if answer.client == INTRUDER)
    began, ended = intruder.sent, intruder.sent + first_ms(intruder) / 1000
    streams = [answer for answer in answers if answer.client != INTRUDER]
    before = [gap for each in streams for gap in _gaps([at for at in each.arrivals if at <= began])]
    # The gap in which the prompt comes is one of those that it may lengthen.
    spans = [span for each in streams for span in pairwise(each.arrivals)]
    during = [(late - early) * 1000 for early, late in spans if began < late <= ended]
    steps = max((_within(each, began, ended) for each in streams), default=0)
    return {
        "calm_p50_ms": percentile(before, 0.5),
        "calm_p99_ms": percentile(before, 0.99),
        "disturbed_p99_ms": percentile(during, 0.99),
        "alone_ms": alone_ms,
        "first_ms": first_ms(intruder),
        "yielded_ms": steps * percentile(before, 0.5),
    }


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


def _within(answer: Answer, began: float, ended: float) -> int:
    return sum(began < at <= ended for at in answer.arrivals)
