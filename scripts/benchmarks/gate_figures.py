"""From what became of every request to figures, and from figures to intervals: pure arithmetic."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from gateway.prices import NANO, cost
from gateway.types import Priority
from scripts.benchmarks.engine_figures import percentile
from scripts.benchmarks.gate_world import PRICE, Served, Speed

SETTLING_S: Final = 2.0
"""What was sent within so many seconds before or after the engine became slower could not be foreseen."""
_ABRUPT: Final = 0.7
"""Slower than this share of its speed, at once."""
_T: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for 95 %, two-sided, by degrees of freedom from 1."""


class Figures(NamedTuple):
    """Of one policy under one load. Shares are percent; goodput, kept and spill of what was offered, misses of what was
    kept. Tokens are those of prompt and answer.
    """

    goodput: float
    token_goodput: float
    kept_tokens: float
    missed: float
    missed_settled: float
    spilled: float
    bill_dollars: float
    first_p50_s: float
    first_p99_s: float
    gap_p99_ms: float


class Difference(NamedTuple):
    """Mean of paired differences, and half of its 95 % interval."""

    mean: float
    half: float


def figures(served: Sequence[Served], speeds: Sequence[Speed]) -> Figures:
    """Of everything that was offered; where batch work came beside it, of what was not that."""
    served = [each for each in served if each.priority > Priority.BATCH]
    kept = [each for each in served if each.local]
    good = [each for each in kept if not each.missed]
    settled = [each for each in kept if each.sent is not None and _settled(each.sent, speeds)]
    firsts = [each.first_s for each in kept]
    bill = sum(cost(PRICE, each.arrival.prompt, each.arrival.answer) for each in served if not each.local)
    return Figures(
        goodput=_percent(len(good), len(served)),
        token_goodput=_percent(_tokens(good), _tokens(served)),
        kept_tokens=_percent(_tokens(kept), _tokens(served)),
        missed=_percent(len(kept) - len(good), len(kept)),
        missed_settled=_percent(sum(each.missed for each in settled), len(settled)),
        spilled=_percent(len(served) - len(kept), len(served)),
        bill_dollars=bill / NANO,
        first_p50_s=percentile(firsts, 0.5),
        first_p99_s=percentile(firsts, 0.99),
        gap_p99_ms=percentile([each.gap_s * 1000 for each in kept if each.arrival.answer > 1], 0.99),
    )


def mean(runs: Sequence[Figures]) -> Figures:
    """Of several stretches."""
    return Figures(*(statistics.fmean(values) for values in zip(*runs, strict=True)))


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Ours less theirs, pair by pair."""
    pairs = [mine - other for mine, other in zip(ours, theirs, strict=True)]
    if len(pairs) < 2:
        return Difference(pairs[0], math.inf)
    return Difference(statistics.fmean(pairs), _T[len(pairs) - 2] * statistics.stdev(pairs) / math.sqrt(len(pairs)))


def _settled(sent: float, speeds: Sequence[Speed]) -> bool:
    slower = (late.at for early, late in pairwise(speeds) if late.share < _ABRUPT * early.share)
    return not any(abs(sent - at) <= SETTLING_S for at in slower)


def _tokens(served: Sequence[Served]) -> int:
    return sum(each.arrival.prompt + each.arrival.answer for each in served)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
