"""Gates in front of a CPU engine: who keeps its promises, on the box or by the cloud, and what it costs.

usage: scripts/bench gate [--real] [--scenarios NAME ...] [--policies NAME ...] [--tuning | --fresh] [--quick]
                          [--record] [--json] [--plot FILE.png or .svg]

The engine is the scheduler of local_models/llama on a clock that is only counted; what a step takes is fitted to a
recording of the real engine under the same traffic, and every result says how far it is from another part of it. With
--real it is the real engine over HTTP, a shorter load, and real processes that take its cores, on an idle machine.
"clairvoyant" is no gate but what could be kept: it knows how fast the engine is going to be, and how long answers get.
Traffic: stretches of the Azure LLM inference traces 2023 (CC-BY-4.0; Patel et al., "Splitwise", ISCA 2024), prompts a
sixteenth and answers a quarter as long, at multiples of the measured capacity. Ours was tuned on five stretches;
what is printed comes from five others, or with --fresh from nine that were looked at only when all was set. Settings
that are swept are shown at their best of each scenario, in hindsight.
"""

import argparse
import contextlib
import functools
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, Final

from scripts.benchmarks.gate_measure import (
    CLAIRVOYANT,
    REAL_POLICIES,
    Document,
    Ground,
    Plan,
    ground,
    measure,
    policies,
    simulated,
)
from scripts.benchmarks.gate_real import play, real_engine
from scripts.benchmarks.gate_record import RECORDING, read, record, write
from scripts.benchmarks.gate_scenarios import REAL, SCENARIOS
from scripts.benchmarks.gate_table import fit_line, table
from scripts.benchmarks.gate_traffic import FRESH, HELD_OUT, TUNING, Arrival, paced, stretch
from scripts.benchmarks.gate_world import FIRST_S
from scripts.benchmarks.overhead_plot import draw
from scripts.tooling.command import SetupError
from scripts.tooling.console import terminal_console
from scripts.tooling.places import here
from scripts.tooling.workbench import Workbench

_DRAW: Final = pathlib.Path(__file__).parent / "gate_draw.py"
_DRAWN: Final = ("1.2x", "hog", "drift")
_CALM, _BUSY, _PAUSE_S = (0, 40, 1.8), (4, 90, 3.2), 8.0
"""What is recorded: the stretch, how many of its requests, and how many per second."""


def main() -> None:
    """Run and print."""
    bench = Workbench(here(), terminal_console(sys.stderr))
    arguments = _arguments()
    model = pathlib.Path(os.environ["FOREBAY_TEST_MODEL"]).resolve()
    if arguments.record:
        with bench.console.step("The engine is recorded, which takes a minute") as step:
            write(RECORDING, model, record(model, recorded_traffic(), step.progress))
    with bench.console.step("The simulated engine is fitted"):
        basis = ground(read())
    with contextlib.ExitStack() as stack:
        plan = _plan(arguments, basis, stack.enter_context(real_engine(model)) if arguments.real else None)
        with bench.console.step(f"{len(plan.scenarios)} scenarios on {len(plan.stretches)} stretches") as step:
            total, done = len(plan.scenarios) * len(plan.makers), itertools.count(1)
            found = measure(basis, plan, lambda: step.progress(next(done) / total))
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    if arguments.plot:
        _plot(bench, arguments.plot, drawing(found, () if arguments.real else _DRAWN))


def _plan(arguments: argparse.Namespace, basis: Ground, real: str | None) -> Plan:
    """`real` is the address of a real engine."""
    known = policies(basis.machine)
    if real is not None:
        known = {name: make for name, make in known.items() if name != CLAIRVOYANT}
    named = arguments.policies or (known if real is None else REAL_POLICIES)
    scenarios = SCENARIOS if real is None else REAL
    return Plan(
        {name: scenarios[name] for name in arguments.scenarios or scenarios},
        (TUNING if arguments.tuning else FRESH if arguments.fresh else HELD_OUT)[: 1 if arguments.quick else None],
        {name: known[name] for name in named},
        simulated(basis) if real is None else functools.partial(play, real),
    )


def recorded_traffic() -> list[Arrival]:
    """A calm part, a pause, and a busy one."""
    calm, busy = (paced(stretch(number)[:count], rate) for number, count, rate in (_CALM, _BUSY))
    began = calm[-1].at + _PAUSE_S
    return [*calm, *(each._replace(at=each.at + began) for each in busy)]


def drawing(found: Document, names: Sequence[str] = ()) -> dict[str, Any]:
    """What `gate_draw.py` draws: of the scenarios of these names, or of all."""
    panels = [
        {"name": cell["scenario"], "about": cell["about"], "requests": cell["requests"], "speeds": cell["speeds"]}
        for cell in found["cells"]
        if cell["requests"] and (not names or cell["scenario"] in names)
    ]
    return {"panels": panels, "fit": fit_line(found), "objective_s": FIRST_S}


def _plot(bench: Workbench, file: pathlib.Path, data: dict[str, Any]) -> None:
    try:
        draw(bench, data, file, _DRAW)
    except SetupError as error:
        bench.console.warn(f"no plot: {error}")
        bench.console.quote(error.tail)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench gate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", action="store_true", help="a real engine instead, a minute per scenario and policy")
    parser.add_argument("--scenarios", nargs="+", metavar="NAME", help="(default: all)")
    parser.add_argument("--policies", nargs="+", metavar="NAME", help="(default: all; with --real a few)")
    stretches = parser.add_mutually_exclusive_group()
    stretches.add_argument("--tuning", action="store_true", help="on the stretches that ours was tuned on")
    stretches.add_argument("--fresh", action="store_true", help="on those that nothing was ever set by")
    parser.add_argument("--quick", action="store_true", help="one stretch only, which shows that it works")
    parser.add_argument("--record", action="store_true", help="record the engine anew, on a machine that is idle")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help="draw our gate on the first stretch here")
    arguments = parser.parse_args()
    known = REAL if arguments.real else SCENARIOS
    if unknown := [name for name in arguments.scenarios or () if name not in known]:
        parser.error(f"no scenario {unknown[0]}; there are: {', '.join(known)}")
    return arguments


if __name__ == "__main__":
    main()
