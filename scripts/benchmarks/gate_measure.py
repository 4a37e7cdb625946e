"""Every policy under every load, on the simulated engine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.gate.engine import Learnt
from scripts.benchmarks.gate_baselines import Gradient2, NoGate, ScrapeThreshold, StaticCap, TwoFlags
from scripts.benchmarks.gate_figures import Figures, difference, figures, mean
from scripts.benchmarks.gate_fit import FitError, error, fit
from scripts.benchmarks.gate_ours import Ours
from scripts.benchmarks.gate_record import CONTEXT, PARALLEL, Recorded, parts
from scripts.benchmarks.gate_scenarios import SCENARIOS, capacity
from scripts.benchmarks.gate_traffic import TUNING, paced, stretch
from scripts.benchmarks.gate_world import FIRST_S, Load, Machine, Policy, Served, Simulation

OURS: Final = "ours"
_CAPS: Final = (3, 4, 6, 8)
_FLAG_CAPS: Final = (6, 8)
_SHARES: Final = (0.3, 0.4, 0.5, 0.6, 0.8)

_SCHOOL, _FIRST_RATE = 0.75, 100.0

Makers = Mapping[str, Callable[[], Policy]]
Document = dict[str, Any]


class Ground(NamedTuple):
    """The simulated engine, how far it is from the real one, and how many requests per second it can answer."""

    machine: Machine
    error: FitError
    capacity: float


def ground(recording: Sequence[Recorded]) -> Ground:
    """Fit to the second part of a recording, which is the busier one; the error is that of the first."""
    calm, busy = parts(recording)
    law = fit(busy)
    machine = Machine(law, PARALLEL, CONTEXT)
    return Ground(machine, error(calm, law), capacity(machine, TUNING))


def policies(machine: Machine) -> Makers:
    """All of them by name; of static caps and vLLM's flags every setting that is swept."""
    rate, learnt = 1 / machine.law.prompt, school(machine)
    found: dict[str, Callable[[], Policy]] = {"no gate": NoGate}
    found |= {f"static {cap}": _static(cap) for cap in _CAPS}
    found |= {
        f"two flags {cap}, {share:g}": _flags(cap, share * FIRST_S * rate) for cap in _FLAG_CAPS for share in _SHARES
    }
    found |= {"scrape threshold": ScrapeThreshold, "gradient2": lambda: Gradient2(float(machine.slots))}
    return {**found, OURS: lambda: Ours(machine.slots, learnt)}


def school(machine: Machine) -> Learnt:
    """What our gate has learnt at three quarters of the capacity on a stretch that nothing is reported of: the others
    know the engine's rate from the start.
    """
    one = Ours(machine.slots, Learnt(rate=_FIRST_RATE))
    load = Load(paced(stretch(TUNING[0]), _SCHOOL * capacity(machine, TUNING[:1])))
    Simulation(machine, load, one, 0).run()
    return one.gate.learnt


def measure(ground: Ground, names: Sequence[str], stretches: Sequence[int], told: Callable[[], None]) -> Document:
    """Everything that is printed; `told` is called after each policy of each scenario."""
    makers = policies(ground.machine)
    cells = []
    for name in names:
        runs: dict[str, list[Figures]] = {}
        for policy, make in makers.items():
            runs[policy] = [_run(ground, name, make, number) for number in stretches]
            told()
        cells.append(_cell(name, runs))
    return {
        "law": ground.machine.law._asdict(),
        "error": ground.error._asdict(),
        "capacity": ground.capacity,
        "stretches": list(stretches),
        "cells": cells,
    }


def trace(ground: Ground, name: str, number: int) -> tuple[list[Served], Load]:
    """What becomes of every request of one scenario and stretch with our gate."""
    load = SCENARIOS[name].load(stretch(number), ground.capacity)
    return Simulation(ground.machine, load, policies(ground.machine)[OURS](), number).run(), load


def best(cell: Document, prefix: str) -> str:
    """Of the settings of a policy that is swept the one with most goodput by tokens: chosen with hindsight."""
    names = [name for name in cell["policies"] if name.startswith(prefix)]
    chosen: str = max(names, key=lambda name: cell["policies"][name]["token_goodput"])
    return chosen


def _run(ground: Ground, name: str, make: Callable[[], Policy], number: int) -> Figures:
    load = SCENARIOS[name].load(stretch(number), ground.capacity)
    return figures(Simulation(ground.machine, load, make(), number).run(), load.speeds)


def _cell(name: str, runs: Mapping[str, Sequence[Figures]]) -> Document:
    ours = runs[OURS]
    return {
        "scenario": name,
        "policies": {policy: mean(each)._asdict() for policy, each in runs.items()},
        "differences": {
            policy: {
                figure: difference([getattr(run, figure) for run in ours], [getattr(run, figure) for run in each])
                for figure in ("goodput", "token_goodput", "missed", "bill_dollars")
            }
            for policy, each in runs.items()
            if policy != OURS
        },
    }


def _static(cap: int) -> Callable[[], Policy]:
    return lambda: StaticCap(cap)


def _flags(cap: int, tokens: float) -> Callable[[], Policy]:
    return lambda: TwoFlags(cap, tokens)
