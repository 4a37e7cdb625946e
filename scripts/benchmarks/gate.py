"""Gates in front of a simulated CPU engine: who keeps its promises, on the box or by the cloud, and what it costs.

usage: scripts/bench gate [--scenarios NAME ...] [--tuning] [--quick] [--record] [--json] [--plot FILE.png or .svg]

The engine is the scheduler of local_models/llama on a clock that is only counted; what a step takes is fitted to a
recording of the real engine under the same traffic, and every result says how far it is from another part of it.
Traffic: stretches of the Azure LLM inference traces 2023 (CC-BY-4.0; Patel et al., "Splitwise", ISCA 2024), prompts a
sixteenth and answers a quarter as long, at multiples of the measured capacity. Ours was tuned on five stretches;
what is printed comes from five others. Settings that are swept are shown at their best of each scenario, in hindsight.
"""

import argparse
import json
import os
import pathlib
import sys
from typing import Any, Final

from scripts.benchmarks.gate_measure import Document, Ground, ground, measure, policies, trace
from scripts.benchmarks.gate_record import RECORDING, read, record, write
from scripts.benchmarks.gate_scenarios import SCENARIOS
from scripts.benchmarks.gate_table import fit_line, table
from scripts.benchmarks.gate_traffic import HELD_OUT, TUNING, Arrival, paced, stretch
from scripts.benchmarks.gate_world import FIRST_S
from scripts.benchmarks.overhead_plot import draw
from scripts.tooling.command import SetupError
from scripts.tooling.console import terminal_console
from scripts.tooling.places import here
from scripts.tooling.workbench import Workbench

_DRAW: Final = pathlib.Path(__file__).parent / "gate_draw.py"
_DRAWN: Final = ("1.2x", "hog", "drift")
_CALM, _BUSY, _PAUSE_S = (0, 35, 0.4), (4, 60, 0.6), 20.0
"""What is recorded: the stretch, how many of its requests, and how many per second."""


def main() -> None:
    """Run and print."""
    bench = Workbench(here(), terminal_console(sys.stderr))
    arguments = _parser().parse_args()
    model = pathlib.Path(os.environ["FOREBAY_TEST_MODEL"]).resolve()
    if arguments.record:
        with bench.console.step("The engine is recorded, which takes some minutes") as step:
            write(RECORDING, model, record(model, recorded_traffic(), step.progress))
    with bench.console.step("The simulated engine is fitted"):
        basis = ground(read())
    stretches = TUNING if arguments.tuning else HELD_OUT
    names = arguments.scenarios or list(SCENARIOS)
    total, done = len(names) * len(policies(basis.machine)), 0
    with bench.console.step(f"{len(names)} scenarios on {len(stretches)} stretches") as step:

        def told() -> None:
            nonlocal done
            done += 1
            step.progress(done / total)

        found = measure(basis, names, stretches[: 1 if arguments.quick else None], told)
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    if arguments.plot:
        _plot(bench, arguments.plot, drawing(basis, found, stretches[0]))


def recorded_traffic() -> list[Arrival]:
    """A calm part, a pause, and a busy one."""
    calm, busy = (paced(stretch(number)[:count], rate) for number, count, rate in (_CALM, _BUSY))
    began = calm[-1].at + _PAUSE_S
    return [*calm, *(each._replace(at=each.at + began) for each in busy)]


def drawing(basis: Ground, found: Document, number: int) -> dict[str, Any]:
    """What `gate_draw.py` draws: of some scenarios every request, when it came, where it went, and its first token."""
    panels = []
    for name in _DRAWN:
        served, load = trace(basis, name, number)
        requests = [(each.arrival.at, each.local, each.missed, each.first_s, each.foretold) for each in served]
        panels.append({"name": name, "about": SCENARIOS[name].about, "requests": requests, "speeds": list(load.speeds)})
    return {"panels": panels, "fit": fit_line(found), "objective_s": FIRST_S}


def _plot(bench: Workbench, file: pathlib.Path, data: dict[str, Any]) -> None:
    try:
        draw(bench, data, file, _DRAW)
    except SetupError as error:
        bench.console.warn(f"no plot: {error}")
        bench.console.quote(error.tail)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench gate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), metavar="NAME", help="(default: all)")
    parser.add_argument("--tuning", action="store_true", help="on the stretches that ours was tuned on")
    parser.add_argument("--quick", action="store_true", help="one stretch only, which shows that it works")
    parser.add_argument("--record", action="store_true", help="record the engine anew on this machine")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help="draw three scenarios here")
    return parser


if __name__ == "__main__":
    main()
