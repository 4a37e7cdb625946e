"""Loads of `gate`, each a stretch of the trace at a multiple of the capacity, and what happens to the engine meanwhile.

Constant: 0.5, 1, 1.2 and 2.5 times the capacity, bunched as they were, and half of it without that. Changing load: a
step, a burst, and long prompts among short ones. Changing speed, as another process, a hot chip, a slow drift, a
neighbour that comes and goes, or a stop would make it.
"""

import math
import random
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from scripts.benchmarks.gate_baselines import NoGate
from scripts.benchmarks.gate_simulation import Simulation
from scripts.benchmarks.gate_traffic import Arrival, paced, stretch
from scripts.benchmarks.gate_world import Load, Machine, Speed

_FULL: Final = (Speed(0.0, 1.0),)
_MINUTES: Final = 10
"""Longer than any load takes."""
_HOG: Final = (
    *_FULL,
    *(Speed(60.0 * minute + at, share) for minute in range(_MINUTES) for at, share in ((20.0, 0.35), (45.0, 1.0))),
)
_THROTTLE: Final = (Speed(0.0, 1.0), Speed(40.0, 0.6))
"""As in the toy model of the first design: 25 s of a minute, and after a third of the time for good."""
_DRIFT: Final = (*_FULL, *(Speed(40.0 + 2 * place, 1 - 0.7 * place / 30) for place in range(31)))
_SQUARE: Final = tuple(Speed(8.0 * place, 0.5 if place % 2 else 1.0) for place in range(200))
_HANG: Final = (Speed(0.0, 1.0), Speed(60.0, 0.0), Speed(75.0, 1.0))
_BURST, _BURST_AT, _BURST_S = 60, 60.0, 0.2
_LONG_EVERY, _LONG = 12, 700
"""One of so many prompts has so many tokens: thirty times the shortest, and most of a slot."""


class Scenario(NamedTuple):
    """A name, how it is meant for people, and the load that it makes of a stretch and the capacity."""

    about: str
    load: Callable[[Sequence[Arrival], float], Load]
    constant: bool = False


def _at(factor: float, speeds: Sequence[Speed] = _FULL) -> Callable[[Sequence[Arrival], float], Load]:
    return lambda arrivals, capacity: Load(paced(arrivals, factor * capacity), speeds)


def _steady(arrivals: Sequence[Arrival], capacity: float) -> Load:
    """Their lengths, at times that nobody bunched."""
    chance, now, found = random.Random(f"{arrivals[0]}"), 0.0, []
    for each in arrivals:
        found.append(each._replace(at=now))
        now += chance.expovariate(0.5 * capacity)
    return Load(found)


def _step(arrivals: Sequence[Arrival], capacity: float) -> Load:
    """Half of them, an eighth of the time."""
    third = len(arrivals) // 4
    parts = (arrivals[:third], arrivals[third : 3 * third], arrivals[3 * third :])
    found: list[Arrival] = []
    began = 0.0
    for part, factor in zip(parts, (0.5, 2.5, 0.5), strict=True):
        found += [each._replace(at=began + each.at) for each in paced(part, factor * capacity)]
        began += len(part) / (factor * capacity)
    return Load(found)


def _burst(arrivals: Sequence[Arrival], capacity: float) -> Load:
    base = paced(arrivals[_BURST:], 0.5 * capacity)
    at_once = [each._replace(at=_BURST_AT + _BURST_S * place / _BURST) for place, each in enumerate(arrivals[:_BURST])]
    return Load(sorted([*base, *at_once]))


def _long(arrivals: Sequence[Arrival], capacity: float) -> Load:
    mixed = [
        each._replace(kind="long", prompt=_LONG) if place % _LONG_EVERY == 0 else each
        for place, each in enumerate(paced(arrivals, 0.5 * capacity))
    ]
    return Load(mixed)


SCENARIOS: Final = MappingProxyType(
    {
        "steady": Scenario("half of the capacity, arrivals of a Poisson process", _steady, constant=True),
        "0.5x": Scenario("half of the capacity", _at(0.5), constant=True),
        "1x": Scenario("the capacity", _at(1.0), constant=True),
        "1.2x": Scenario("1.2 times the capacity", _at(1.2), constant=True),
        "2.5x": Scenario("2.5 times the capacity", _at(2.5), constant=True),
        "step": Scenario("0.5 to 2.5 times the capacity at once, and back", _step, constant=True),
        "burst": Scenario("60 requests within 200 ms, on half of the capacity", _burst, constant=True),
        "long": Scenario("every twelfth prompt has 700 tokens, half of the capacity", _long, constant=True),
        "hog": Scenario("0.35 of the speed for 25 s of every 60, at 0.8 times the capacity", _at(0.8, _HOG)),
        "throttle": Scenario("0.6 of the speed for good, at 0.8 times the capacity", _at(0.8, _THROTTLE)),
        "drift": Scenario("the speed falls to 0.3 within 60 s, at 0.8 times the capacity", _at(0.8, _DRIFT)),
        "square": Scenario("half of the speed every other 8 s, at 0.8 times the capacity", _at(0.8, _SQUARE)),
        "hang": Scenario("no step for 15 s, at half of the capacity", _at(0.5, _HANG)),
    }
)


_REAL_HOG: Final = (Speed(0.0, 1.0), Speed(20.0, 0.35), Speed(45.0, 1.0))
_REAL_COUNT: Final = 160
"""Requests of a stretch that a real engine is asked."""


def _few(
    load: Callable[[Sequence[Arrival], float], Load], count: int = _REAL_COUNT
) -> Callable[[Sequence[Arrival], float], Load]:
    return lambda arrivals, capacity: load(arrivals[:count], capacity)


def _flood(arrivals: Sequence[Arrival], capacity: float) -> Load:
    """A quarter of them is interactive, at half of the capacity; the others come meanwhile."""
    some = len(arrivals) // 4
    mine = paced(arrivals[:some], 0.5 * capacity)
    flood = paced(arrivals[some:], (len(arrivals) - some) * 0.5 * capacity / some)
    return Load(mine, batch=flood)


def _alone(arrivals: Sequence[Arrival], capacity: float) -> Load:
    return _flood(arrivals, capacity)._replace(batch=())


REAL: Final = MappingProxyType(
    {
        "0.5x": Scenario("half of the capacity", _few(_at(0.5)), constant=True),
        "1.2x": Scenario("1.2 times the capacity", _few(_at(1.2)), constant=True),
        "2.5x": Scenario("2.5 times the capacity", _few(_at(2.5)), constant=True),
        "hog": Scenario("a process per core takes the box for 25 s, 0.8 times the capacity", _few(_at(0.8, _REAL_HOG))),
        "alone": Scenario("half of the capacity", _few(_alone, 2 * _REAL_COUNT), constant=True),
        "flood": Scenario("the same beside three times as much of batch", _few(_flood, 2 * _REAL_COUNT), constant=True),
    }
)
"""For a real engine, which takes the time that it takes: about a minute each."""


def capacity(machine: Machine, stretches: Sequence[int]) -> float:
    """Requests per second of an engine that always has more to do."""
    done, took = 0, 0.0
    for number in stretches:
        at_once = [each._replace(at=0.0) for each in stretch(number)]
        served = Simulation(machine, Load(at_once), NoGate(), number).run()
        done += len(served)
        took += max(each.last or 0.0 for each in served)
    return done / took if took else math.nan
