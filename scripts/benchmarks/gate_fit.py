"""Fits the simulated engine to a recording of a real one, and says how far it is from another part of it."""

import math
import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from scripts.benchmarks.gate_engine import Law, SimulatedEngine
from scripts.benchmarks.gate_real import CONTEXT, PARALLEL
from scripts.benchmarks.gate_record import Recorded

_FIRST_GUESS: Final = Law(step=0.0037, sequence=0.0021, context=4e-6, call=0.005, prompt=0.0009, way=0.002)
_ROUNDS: Final = 4
_FACTORS: Final = (0.6, 0.8, 0.9, 0.97, 1.03, 1.1, 1.25, 1.6)


class FitError(NamedTuple):
    """Of the simulation beside the recording: medians of the relative errors, and of their absolute values."""

    requests: int
    first_bias: float
    first_error: float
    whole_bias: float
    whole_error: float
    first_p99: float
    """The 99th percentile of the time to first token, simulated ÷ recorded."""


def replay(recording: Sequence[Recorded], law: Law) -> list[Recorded]:
    """The same requests at the same times, by the simulated engine."""
    engine = SimulatedEngine(PARALLEL, PARALLEL * CONTEXT, law, cuts=False)
    firsts: dict[int, float] = {}
    lasts: dict[int, float] = {}
    now, asked = 0.0, 0
    while len(lasts) < len(recording):
        while asked < len(recording) and recording[asked].sent <= now:
            engine.ask(asked, recording[asked].prompt, recording[asked].answer)
            asked += 1
        seconds = engine.begin()
        if seconds is None:
            now = recording[asked].sent
            continue
        now += seconds
        for token in engine.end(seconds):
            if token.first:
                firsts[token.number] = now + law.way
            if token.last:
                lasts[token.number] = now + law.way
    return [each._replace(first=firsts[place], last=lasts[place]) for place, each in enumerate(recording)]


def fit(recording: Sequence[Recorded]) -> Law:
    """The law that is nearest to a recording: one number after the other, a few times."""
    law = _FIRST_GUESS
    best = _distance(recording, law)
    for _ in range(_ROUNDS):
        for name in Law._fields:
            for factor in _FACTORS:
                tried = law._replace(**{name: getattr(law, name) * factor})
                distance = _distance(recording, tried)
                if distance < best:
                    best, law = distance, tried
    return law


def error(recording: Sequence[Recorded], law: Law) -> FitError:
    """How far the simulation is from a recording that it was not fitted to."""
    pairs = list(zip(recording, replay(recording, law), strict=True))
    first = [(mine.first - mine.sent) / (real.first - real.sent) - 1 for real, mine in pairs]
    whole = [(mine.last - mine.sent) / (real.last - real.sent) - 1 for real, mine in pairs]
    return FitError(
        len(pairs),
        statistics.median(first),
        statistics.median(map(abs, first)),
        statistics.median(whole),
        statistics.median(map(abs, whole)),
        _worst([mine for _, mine in pairs]) / _worst([real for real, _ in pairs]),
    )


def _distance(recording: Sequence[Recorded], law: Law) -> float:
    """Mean absolute logarithm of the ratios of both times."""
    pairs = zip(recording, replay(recording, law), strict=True)
    return statistics.fmean(
        abs(math.log((mine.first - mine.sent) / (real.first - real.sent)))
        + abs(math.log((mine.last - mine.sent) / (real.last - real.sent)))
        for real, mine in pairs
    )


def _worst(recording: Sequence[Recorded]) -> float:
    times = sorted(each.first - each.sent for each in recording)
    return times[math.ceil(0.99 * len(times)) - 1]
