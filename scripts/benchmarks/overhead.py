"""What the gateway costs beside its peers: CPU time per request and per stream, added latency, memory, decision time.

usage: scripts/bench overhead [--no-peers] [--rounds N] [--seconds N] [--json] [--plot FILE.png or .svg]

One Forebay with everything on (keys, policy, classification, scored and stripped log-probabilities, probation, ledger,
request log, metrics), asked as `auto` and with its backend pinned; LiteLLM's proxy (MIT) and vllm-router (Apache-2.0),
each in an environment of its own, made once in the cache; and before all of them the same loopback upstream, which
costs next to nothing and is Forebay's light tier. All are processes of their own, and up at the same time.

CPU time is of all processes and threads of a gateway, from /proc, under the load of 16 connections; it holds on a busy
machine, which wall time does not. Forebay's host of engines is one of its processes, for memory as well. Latency is
what one caller who asks one request after the other waits longer than for the upstream asked directly. The gateways
take turns in every round; the figures are medians of the rounds.
Forebay asks the upstream for log-probabilities, which it needs, and so is sent more bytes than the others.
"""

import argparse
import contextlib
import json
import pathlib
import signal
import sys
import tempfile

from scripts.benchmarks.overhead_forebay import forebay
from scripts.benchmarks.overhead_measure import KINDS, Gateway, Rounds, decisions
from scripts.benchmarks.overhead_peers import PEERS, Missing, Peer, start
from scripts.benchmarks.overhead_plot import draw
from scripts.benchmarks.overhead_table import Document, document, table
from scripts.benchmarks.run_gateway import NotStartedError, free_port, upstream
from scripts.tooling.command import SetupError
from scripts.tooling.console import terminal_console
from scripts.tooling.places import here
from scripts.tooling.workbench import Workbench

STREAM_TOKENS = 100


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench overhead", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--no-peers", action="store_true", help="Forebay alone: nothing else is installed or started")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every gateway (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="load per turn and kind of request (default 3)")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    bench = Workbench(here(), terminal_console(sys.stderr))
    usual = bench.places.cache / "bench" / "overhead.png"
    where = f"draw bars here, in the format that its name ends in (default {usual}; none with --no-peers)"
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help=where)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    try:
        found = measure(bench, () if arguments.no_peers else PEERS, arguments.rounds, arguments.seconds)
    except NotStartedError as error:
        raise SystemExit(f"Forebay itself: {error}") from error
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    file = arguments.plot or (None if arguments.no_peers else usual)
    if file is not None:
        try:
            draw(bench, found, file)
        except SetupError as error:
            bench.console.warn(f"no plot: {error}")
            bench.console.quote(error.tail)


def measure(bench: Workbench, peers: tuple[Peer, ...], rounds: int, seconds: float) -> Document:
    """Everything that is printed."""
    with tempfile.TemporaryDirectory(prefix="fb") as name, contextlib.ExitStack() as stack:
        behind, folder = free_port(), pathlib.Path(name)
        stack.enter_context(upstream(behind, STREAM_TOKENS))
        own = stack.enter_context(forebay(folder / "forebay", behind))
        elsewhere, gateways = own.elsewhere(), list(own.gateways)
        started = [start(bench, stack, peer, folder, behind) for peer in peers]
        gateways += [each for each in started if isinstance(each, Gateway)]
        measured = Rounds(gateways, behind)
        with bench.console.step(f"{rounds} rounds of load on {len(gateways)} gateways") as step:
            for turn in range(rounds * len(KINDS)):
                measured.turn(KINDS[turn % len(KINDS)], seconds)
                step.progress((turn + 1) / (rounds * len(KINDS)))
        found = document(measured, [each for each in started if isinstance(each, Missing)])
        found["elsewhere"] = own.elsewhere() - elsewhere
    with bench.console.step("Decisions for prompts of growing length, and of the gate"):
        return {**found, **decisions()}


def _end(_number: int, _frame: object) -> None:
    """End as after an interrupt: with every program that was started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
