"""The CPU engine beside llama-server and llama_cpp.server: throughput, time to first token, time between tokens.

usage: scripts/bench engine [--runs N] [--quick] [--judged] [--llama-server PATH] [--json] [--plot FILE.png or .svg]

Short prompts and a shared system prompt of 1,000 tokens, at 1, 4, 8 and 16 clients, with log-probabilities and without;
that system prompt without the reuse of prefixes; and a prompt of 4,000 tokens that arrives among 7 streams. All engines
have the same file, threads and prompts, are up at the same time, and take turns in every run; the figures are medians
of the runs. Nothing else should be running. `--judged` measures only what the verdicts at the end speak of.

After every run the table of all runs so far is printed, on standard error before the last; an interrupt ends with it.

llama-server is measured where its binary is found. llama_cpp.server answers one request at a time, so its clients ask
once each: its tokens per second do not depend on how often, and its time to first token would only grow.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from local_models.hardware import cpu_count
from scripts.benchmarks.engine_cells import KINDS, SHARED, SHORT, Amount, Rounds, Work, judged, matrix
from scripts.benchmarks.engine_servers import ANEW, FOREBAY, LLAMA_SERVER, PACKAGED, PLAIN, Ground, Settings, start_all
from scripts.benchmarks.engine_table import Document, table
from scripts.benchmarks.engine_verdicts import verdicts
from scripts.benchmarks.overhead_plot import draw
from scripts.tooling.command import SetupError
from scripts.tooling.console import terminal_console
from scripts.tooling.places import here
from scripts.tooling.workbench import Workbench

CLIENTS, QUICK_CLIENTS, CONTEXT = (1, 4, 8, 16), (1, 4), 5120
NAMES = (FOREBAY, ANEW, PLAIN, LLAMA_SERVER, PACKAGED)
_DRAW = pathlib.Path(__file__).parent / "engine_draw.py"


def main() -> None:
    """Run and print."""
    bench = Workbench(here(), terminal_console(sys.stderr))
    usual = bench.places.cache / "bench" / "engine.png"
    arguments = _parser(usual).parse_args()
    signal.signal(signal.SIGTERM, _end)
    model = pathlib.Path(arguments.model or os.environ["FOREBAY_TEST_MODEL"]).resolve()
    flags = tuple(shlex.split(arguments.llama_server_flags))
    settings = Settings(model, arguments.threads, max(CLIENTS), CONTEXT, arguments.llama_server, flags)
    found = measure(bench, settings, arguments.engines, _wanted(arguments))
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    if any(cell["kind"] in (SHORT, SHARED) for cell in found["cells"]):
        try:
            draw(bench, found, arguments.plot or usual, _DRAW)
        except SetupError as error:
            bench.console.warn(f"no plot: {error}")
            bench.console.quote(error.tail)


def _parser(usual: pathlib.Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench engine", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="turns of every engine (default 5)")
    parser.add_argument("--quick", action="store_true", help="one short run, which shows that it works")
    parser.add_argument("--judged", action="store_true", help="only what the verdicts need")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="of load (default: all)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens per answer (default 64)")
    parser.add_argument("--requests", type=int, default=2, help="answers per client, turn and cell (default 2)")
    parser.add_argument("--threads", type=int, default=cpu_count(), help="of each engine (default: all CPUs)")
    parser.add_argument("--model", metavar="FILE.gguf", help="(default: the model of the tests)")
    parser.add_argument("--engines", nargs="+", choices=NAMES, default=NAMES, help="(default: all)")
    parser.add_argument("--llama-server", metavar="PATH", help="its binary (default: from the path)")
    parser.add_argument("--llama-server-flags", metavar="FLAGS", default="", help="more of them, in one argument")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    where = f"draw here, in the format that its name ends in (default {usual})"
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help=where)
    return parser


def _wanted(arguments: argparse.Namespace) -> tuple[int, Amount, Work]:
    """Runs, how much is asked, and of what."""
    if arguments.quick:
        runs, amount, work = 1, Amount(tokens=12, requests=1), matrix(QUICK_CLIENTS)
        kinds = arguments.kinds or (SHORT, SHARED)
    else:
        runs, amount = arguments.runs, Amount(arguments.tokens, arguments.requests)
        work, kinds = judged() if arguments.judged else matrix(CLIENTS), arguments.kinds or KINDS
    return runs, amount, {cell: names for cell, names in work.items() if cell.kind in kinds}


def measure(bench: Workbench, settings: Settings, names: Sequence[str], wanted: tuple[int, Amount, Work]) -> Document:
    """Everything that is printed."""
    runs, amount, work = wanted
    needed = [name for name in names if any(name in takers for takers in work.values())]
    with tempfile.TemporaryDirectory(prefix="fb") as name, contextlib.ExitStack() as stack:
        servers, missing = start_all(Ground(bench, stack, settings, pathlib.Path(name)), needed)
        rounds = Rounds(servers, amount)
        about = {
            "model": settings.model.name,
            "threads": settings.threads,
            **amount._asdict(),
            "versions": {server.name: server.version for server in servers},
            "missing": [each._asdict() for each in missing],
        }
        run = 0
        with contextlib.suppress(KeyboardInterrupt):
            for run in range(1, runs + 1):
                if run > 1:
                    print(table(document(about, rounds, run - 1)), file=sys.stderr)
                _run(bench, rounds, work, run, runs)
        return document(about, rounds, run)


def document(about: Mapping[str, Any], rounds: Rounds, runs: int) -> Document:
    """What is known after so many runs, the last of which may be incomplete."""
    cells = rounds.cells()
    judgement = [each._asdict() for each in verdicts(cells)]
    return {**about, "runs": runs, "cells": cells, "failures": rounds.failures, "verdicts": judgement}


def _run(bench: Workbench, rounds: Rounds, work: Work, run: int, runs: int) -> None:
    there = [server.name for server in rounds.servers]
    done, total = 0, sum(name in there for takers in work.values() for name in takers)
    with bench.console.step(f"Run {run} of {runs}: {len(work)} loads on {len(there)} engines") as step:

        def told() -> None:
            nonlocal done
            done += 1
            step.progress(done / total)

        for cell, takers in work.items():
            rounds.turn(cell, takers, run, told)


def _end(_number: int, _frame: object) -> None:
    """End as after an interrupt: with every program that was started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
