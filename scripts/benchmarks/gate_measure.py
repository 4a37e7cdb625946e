"""Every policy under every load, on the simulated engine or a real one."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.gate.engine import Learnt
from scripts.benchmarks.gate_baselines import Gradient2, NoGate, ScrapeThreshold, StaticCap, TwoFlags
from scripts.benchmarks.gate_clairvoyant import Clairvoyant
from scripts.benchmarks.gate_figures import Figures, difference, figures, mean
from scripts.benchmarks.gate_fit import FitError, error, fit
from scripts.benchmarks.gate_ours import Ours
from scripts.benchmarks.gate_real import CONTEXT, PARALLEL
from scripts.benchmarks.gate_record import Recorded, parts
from scripts.benchmarks.gate_scenarios import Scenario, capacity
from scripts.benchmarks.gate_simulation import Simulation
from scripts.benchmarks.gate_traffic import TUNING, paced, stretch
from scripts.benchmarks.gate_world import FIRST_S, Load, Machine, Policy, Served

OURS: Final = "ours"
CLAIRVOYANT: Final = "clairvoyant"
_CAPS: Final = (3, 4, 6, 8)
_FLAG_CAPS: Final = (6, 8)
_SHARES: Final = (0.3, 0.4, 0.5, 0.6, 0.8)

_AS_MANY: Final = 2.0
_SCHOOL, _FIRST_RATE = 0.75, 100.0
REAL_POLICIES: Final = ("no gate", "static 8", "two flags 8, 0.5", "scrape threshold", "gradient2", OURS)
"""Of those that are swept a setting that is good on the simulated engine: a real one takes a minute for each."""

Makers = Mapping[str, Callable[[Load], Policy]]
"""The load is for the one that knows all of it beforehand."""
Document = dict[str, Any]
Player = Callable[[Load, Policy, int], list[Served]]
"""Puts a policy under a load; the number is that of the stretch."""


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
    found: dict[str, Callable[[Load], Policy]] = {"no gate": lambda _: NoGate()}
    found |= {f"static {cap}": _static(cap) for cap in _CAPS}
    found |= {
        f"two flags {cap}, {share:g}": _flags(cap, share * FIRST_S * rate) for cap in _FLAG_CAPS for share in _SHARES
    }
    found |= {"scrape threshold": lambda _: ScrapeThreshold(), "gradient2": lambda _: Gradient2(float(machine.slots))}
    return {**found, CLAIRVOYANT: lambda load: Clairvoyant(machine, load), OURS: lambda _: Ours(machine.slots, learnt)}


def school(machine: Machine) -> Learnt:
    """What our gate has learnt at three quarters of the capacity on a stretch that nothing is reported of: the others
    know the engine's rate from the start.
    """
    one = Ours(machine.slots, Learnt(rate=_FIRST_RATE))
    load = Load(paced(stretch(TUNING[0]), _SCHOOL * capacity(machine, TUNING[:1])))
    Simulation(machine, load, one, 0).run()
    return one.gate.learnt


class Plan(NamedTuple):
    """What is measured: which scenarios by name, on which stretches, with which policies, and on which engine."""

    scenarios: Mapping[str, Scenario]
    stretches: Sequence[int]
    makers: Makers
    play: Player


def simulated(ground: Ground) -> Player:
    """On the engine that is simulated."""
    return lambda load, policy, number: Simulation(ground.machine, load, policy, number).run()


def measure(ground: Ground, plan: Plan, told: Callable[[], None]) -> Document:
    """Everything that is printed; `told` is called after each policy of each scenario."""
    cells = []
    for name, scenario in plan.scenarios.items():
        loads = {number: scenario.load(stretch(number), ground.capacity) for number in plan.stretches}
        runs: dict[str, list[Figures]] = {}
        first: list[Served] = []
        for policy, make in plan.makers.items():
            served = {number: plan.play(load, make(load), number) for number, load in loads.items()}
            runs[policy] = [figures(each, loads[number].speeds) for number, each in served.items()]
            first = served[plan.stretches[0]] if policy == OURS else first
            told()
        cells.append({"scenario": name, "about": scenario.about, **_cell(runs), **_drawn(first, loads)})
    return {
        "law": ground.machine.law._asdict(),
        "error": ground.error._asdict(),
        "capacity": ground.capacity,
        "stretches": list(plan.stretches),
        "cells": cells,
    }


def best(cell: Document, prefix: str) -> str:
    """Of the settings of a policy that is swept the one with most goodput by tokens: chosen with hindsight."""
    names = [name for name in cell["policies"] if name.startswith(prefix)]
    chosen: str = max(names, key=lambda name: cell["policies"][name]["token_goodput"])
    return chosen


def careful(cell: Document, prefixes: Sequence[str]) -> str | None:
    """Of the settings that keep as many tokens as ours, within two points, the one that breaks fewest promises."""
    figures = cell["policies"]
    least = figures[OURS]["kept_tokens"] - _AS_MANY if OURS in figures else math.inf
    names = [name for name in figures if name.startswith(tuple(prefixes)) and figures[name]["kept_tokens"] >= least]
    return min(names, key=lambda name: figures[name]["missed"], default=None)


def _cell(runs: Mapping[str, Sequence[Figures]]) -> Document:
    ours = runs.get(OURS, ())
    return {
        "policies": {policy: mean(each)._asdict() for policy, each in runs.items()},
        "differences": {
            policy: {
                figure: difference([getattr(run, figure) for run in ours], [getattr(run, figure) for run in each])
                for figure in ("goodput", "token_goodput", "kept_tokens", "missed", "bill_dollars")
            }
            for policy, each in runs.items()
            if ours and policy != OURS
        },
    }


def _drawn(served: Sequence[Served], loads: Mapping[int, Load]) -> Document:
    """What `gate_draw.py` draws of our gate on the first stretch: every request, when it came, where it went, whether
    its promise was broken, its first token, and what was foretold of that.
    """
    requests = [(each.arrival.at, each.local, each.missed, each.first_s, each.foretold) for each in served]
    return {"requests": requests, "speeds": list(next(iter(loads.values())).speeds)}


def _static(cap: int) -> Callable[[Load], Policy]:
    return lambda _: StaticCap(cap)


def _flags(cap: int, tokens: float) -> Callable[[Load], Policy]:
    return lambda _: TwoFlags(cap, tokens)
