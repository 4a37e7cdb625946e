"""The CPU engine under thousands of requests, most of them short, many given up: does it end as it began?

usage: scripts/bench soak [--count N] [--seed N]

Ends with 1 unless every request that was accepted and not given up ended as it should, no slot, no waiting place and
no KV space is left in use, all slots still answer, and memory is flat: it is read when a fifth is done and at the end.
After every tenth it says on standard error what became of the requests so far; an interrupt ends with that.
"""

import argparse
import asyncio
import os
import pathlib
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx

from local_models.hardware import cpu_count
from local_models.llama_cpp import LlamaCpp
from scripts.benchmarks.engine_servers import Settings, forebay_command
from scripts.benchmarks.run_gateway import free_port, memory_mb, running
from scripts.benchmarks.soak_load import Tally, soak
from scripts.tooling.console import terminal_console

PARALLEL, CONTEXT = 8, 1024
GROWTH_MB, GROWTH_SHARE = 8.0, 0.03
"""Memory is flat if it grows by no more than the greater of the two."""

_REST_TRIES, _REST_S = 100, 0.1
_INTERRUPTED = 130
_GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")


class Outcome(NamedTuple):
    """What is judged. `rest` are the engine's gauges after all; `still` is how many slots answered then."""

    tally: Tally
    rest: Mapping[str, float]
    still: Tally
    memory_mb: tuple[float, float]
    aside: int = 0
    """Prompt tokens of long prompts that were evaluated aside."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="requests (default 10,000)")
    parser.add_argument("--seed", type=int, default=5, help="of what is asked and given up (default 5)")
    arguments = parser.parse_args()
    console = terminal_console(sys.stderr)
    model = pathlib.Path(os.environ["FOREBAY_TEST_MODEL"]).resolve()
    signal.signal(signal.SIGTERM, _end)
    latest = Tally()
    try:
        with console.step(f"{arguments.count:,} requests") as step:

            def heard(tally: Tally) -> None:
                nonlocal latest
                latest = tally
                step.progress(tally.total / arguments.count)
                if tally.total % max(1, arguments.count // 10) == 0:
                    print(counted(tally), file=sys.stderr)

            outcome = run(model, arguments.count, arguments.seed, heard)
    except KeyboardInterrupt:
        print("\n".join([counted(latest), *latest.wrong, "Interrupted: what is left in use was not read."]))
        sys.exit(_INTERRUPTED)
    print(told(outcome))
    found = problems(outcome)
    print("\n".join(found) if found else "The engine is as it was.")
    sys.exit(1 if found else 0)


def run(model: pathlib.Path, count: int, seed: int, heard: Callable[[Tally], None]) -> Outcome:
    """Soak an engine of its own; `heard` is told after each request what became of all so far."""
    settings = Settings(model, cpu_count(), PARALLEL, CONTEXT)
    port, environ = free_port(), {**os.environ, **LlamaCpp().environment(os.environ)}
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="fb") as name:
        command, log = forebay_command(settings, port), pathlib.Path(name) / "log"
        with running(command, f"{base}/health", log, environ) as pid:
            early: list[float] = []

            def done(so_far: Tally) -> None:
                if not early and so_far.total >= count / 5:
                    early.append(memory_mb([pid]))
                heard(so_far)

            tally = asyncio.run(soak(base, count, seed, done))
            rest = at_rest(base)
            still = asyncio.run(soak(base, PARALLEL, seed + 1, lambda _tally: None))
            page = httpx.get(f"{base}/metrics", timeout=30, trust_env=False).text
            return Outcome(tally, rest, still, (early[0], memory_mb([pid])), aside_tokens(page))


def at_rest(base: str) -> dict[str, float]:
    """The engine's gauges, once they are zero or have not become so in ten seconds."""
    pause = threading.Event()
    found: dict[str, float] = {}
    for _ in range(_REST_TRIES):
        found = gauges(httpx.get(f"{base}/metrics", timeout=30, trust_env=False).text)
        if not any(found.values()):
            break
        pause.wait(_REST_S)
    return found


def aside_tokens(page: str) -> int:
    """How many prompt tokens were evaluated aside, from a page of metrics."""
    rows = [line.rpartition(" ") for line in page.splitlines()]
    return sum(int(float(value)) for key, _, value in rows if key.startswith("forebay:prompt_tokens_aside_total{"))


def gauges(page: str) -> dict[str, float]:
    """What is in use, from a page of metrics."""
    rows = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name in _GAUGES for key, _, value in rows if key.startswith(f"vllm:{name}{{")}


def problems(outcome: Outcome) -> list[str]:
    """What is not as it should be."""
    found = [f"wrong: {each}" for each in (*outcome.tally.wrong, *outcome.still.wrong)]
    found += [f"{name} is {value:g} and not 0" for name, value in outcome.rest.items() if value]
    found += [f"no {name}" for name in _GAUGES if name not in outcome.rest]
    early, late = outcome.memory_mb
    if late - early > max(GROWTH_MB, GROWTH_SHARE * early):
        found.append(f"memory grew from {early:.1f} to {late:.1f} MiB")
    return found


def counted(tally: Tally) -> str:
    """What became of the requests."""
    return (
        f"{tally.total:,} requests: {tally.ended:,} ended, {tally.given_up:,} given up, {tally.refused:,} refused, "
        f"{len(tally.wrong):,} wrong."
    )


def told(outcome: Outcome) -> str:
    """The figures, for people."""
    early, late = outcome.memory_mb
    return (
        f"{counted(outcome.tally)} Memory {early:.1f} MiB after a fifth, {late:.1f} at the end. "
        f"{outcome.aside:,} prompt tokens were evaluated aside. "
        f"Left in use: {', '.join(f'{name} {value:g}' for name, value in outcome.rest.items())}."
    )


def _end(_number: int, _frame: object) -> None:
    """End as after an interrupt: with the engine."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
