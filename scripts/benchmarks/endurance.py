"""A gateway with a real CPU engine and a cloud, under all kinds of callers for an hour, while the engine is killed
and stopped and the cloud fails: does the gate end as it began? Number 16 of the reference's tests (gate.md §6.10).

usage: scripts/bench endurance [--seconds N] [--seed N] [--json]

Ends with 1 unless every request ended once and as it should, what was local only never left, the ledger says of each
what its caller was told, and of its cost too, the gate's books sum to nothing when all is over, every slot answers
again, and the gateway's memory is flat: it is read when a fifth of the time is over and at the end.
"""

import argparse
import asyncio
import itertools
import json
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import httpx
import psutil

from scripts.benchmarks.endurance_load import CLOUD, LOCAL, TENANTS, Tally, load
from scripts.benchmarks.soak import GROWTH_MB, GROWTH_SHARE
from scripts.tooling.console import terminal_console
from tests.e2e.configs import PRICES, Config, base, hash_of, key_of, provider
from tests.e2e.homes import MODEL, engine_of
from tests.e2e.stack import Stack, running
from tests.faults.behaviours import Says, Status
from tests.faults.handle import FaultServer, fault_server

SLOTS, WAITING = 4, 6
TOLD = (LOCAL, CLOUD, "refused", "failed", "interrupted")
"""What may become of a request whose caller stays to hear it."""
FATES = (*TOLD, "given up", "wrong")
REST = ("in_use", "waiting", "running", "backlog")
"""What the gate must have none of when nobody is there."""

_TROUBLES, _LEAST_PAUSE_S = 30, 3.0
_FAILS_S, _STANDS_S = 8.0, 4.0
_EARLY, _BACK_S = 0.2, 120.0
_WELL = Says(pause_s=0.01)
_INTERRUPTED = 130


class Outcome(NamedTuple):
    """What is judged. `rest` is what the gate has under way after all, `still` how many slots answered then, and
    `books` what is wrong with the ledger.
    """

    seconds: float
    tally: Tally
    rest: Mapping[str, float]
    still: int
    books: list[str]
    memory_mb: tuple[float, float]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench endurance", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long (default 3,600)")
    parser.add_argument("--seed", type=int, default=16, help="of what is asked and given up (default 16)")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    arguments = parser.parse_args()
    console, latest = terminal_console(sys.stderr), Tally()
    model = pathlib.Path(os.environ["FOREBAY_TEST_MODEL"]).resolve()
    signal.signal(signal.SIGTERM, _end)
    try:
        with console.step(f"{arguments.seconds:,.0f} s of callers") as step:
            outcome = run(model, arguments.seconds, arguments.seed, latest, step.progress)
    except KeyboardInterrupt:
        print("\n".join([table(latest), *latest.wrong, "Interrupted: what is left in use was not read."]))
        sys.exit(_INTERRUPTED)
    found = problems(outcome)
    print(json.dumps(document(outcome), indent=2) if arguments.json else told(outcome))
    print("\n".join(found) if found else "The gate is as it was.", file=sys.stderr)
    sys.exit(1 if found else 0)


def config(faults: FaultServer) -> Config:
    """One engine with four slots, a cloud, and a tenant of each kind; who waits does so for a while and not in vain."""
    classes: dict[str, Config] = {"fast": {"priority": "interactive", "ttft_ms": 1_500}, "slow": {"priority": "batch"}}
    tenants: dict[str, Config] = {
        "rush": {"class": "fast"},
        "bulk": {"class": "slow"},
        "vault": {"class": "fast", "local_only": True},
    }
    return base(
        engines={"small": {"kind": "llama_cpp", "model": MODEL, "parallel": SLOTS, "context": 1024}},
        backends={
            LOCAL: {"engine": "small", "price": PRICES["light"]},
            CLOUD: provider(faults, "mid", price=PRICES["mid"]),
        },
        tiers={"light": [LOCAL], "mid": [CLOUD], "premium": []},
        classes={name: {"default_tier": "light", "max_tier": "mid", **each} for name, each in classes.items()},
        tenants={
            name: {**each, "keys": [{"name": "ci", "hash": hash_of(f"key-of-{name}")}]}
            for name, each in tenants.items()
        },
        auth={"mode": "keys"},
        gate={"max_wait_ms": 1_000, "max_wait_alone_ms": 10_000, "max_waiting": WAITING},
        log={"requests": "off"},
    )


def run(model: pathlib.Path, seconds: float, seed: int, tally: Tally, progress: Callable[[float], None]) -> Outcome:
    """Soak a gateway of its own; `tally` is filled as it goes, `progress` hears which share of the time is over."""
    with (
        tempfile.TemporaryDirectory(prefix="fb") as folder,
        fault_server(pathlib.Path(folder)) as faults,
        running(config(faults), model=model) as stack,
    ):
        faults.always("mid", _WELL)
        stack.ready("light", "mid")
        memory = asyncio.run(_soak(stack, faults, seconds, seed, tally, progress))
        rest, still = _at_rest(stack), asyncio.run(_all_slots(stack))
        return Outcome(seconds, tally, rest, still, _books_of(stack, tally), memory)


async def _soak(  # all that happens in that time
    stack: Stack, faults: FaultServer, seconds: float, seed: int, tally: Tally, progress: Callable[[float], None]
) -> tuple[float, float]:
    """The memory of the gateway in MiB when a fifth was over, and at the end."""
    begun, early, gateway = time.monotonic(), list[float](), psutil.Process(stack.process.pid)

    def share() -> float:
        return (time.monotonic() - begun) / seconds

    def told() -> None:
        progress(min(1.0, share()))
        if share() >= _EARLY and not early:
            early.append(_memory_mb(gateway))

    pause_s = max(_LEAST_PAUSE_S, seconds / _TROUBLES)
    trouble = asyncio.create_task(asyncio.to_thread(_trouble, stack, faults, pause_s, tally, over := threading.Event()))
    try:
        await load(stack.base_url, stack.books, tally, seed, lambda: share() < 1.0, told)
    finally:
        over.set()
        await trouble
    late = _memory_mb(gateway)
    return (early[0] if early else late), late


def _trouble(stack: Stack, faults: FaultServer, pause_s: float, tally: Tally, over: threading.Event) -> None:
    """One after the other, until it is over: the engine is killed, the cloud fails, the engine stands still."""
    for trouble in itertools.cycle(("engine killed", "cloud down", "engine stopped", "cloud down")):
        if over.wait(pause_s):
            return
        engine = engine_of(stack.home)
        if trouble == "cloud down":
            faults.always("mid", Status(status=503))
            over.wait(min(_FAILS_S, pause_s))
            faults.always("mid", _WELL)
        elif engine is not None:
            process = psutil.Process(engine)
            if trouble == "engine killed":
                process.kill()
            else:
                process.suspend()
                over.wait(min(_STANDS_S, pause_s))
                process.resume()
        tally.troubles[trouble] += engine is not None


def _at_rest(stack: Stack) -> dict[str, float]:
    """What the gate has under way, once the engine is back and that is nothing, or after two minutes."""
    pause, until = threading.Event(), time.monotonic() + _BACK_S
    while True:
        found = stack.gate("small")
        rest = {name: float(found[name]) for name in REST} | {"not ready": float(not found["ready"])}
        if not any(rest.values()) or time.monotonic() > until:
            return rest
        pause.wait(0.2)


async def _all_slots(stack: Stack) -> int:
    """How many of as many as there are slots are answered, at once and on the box."""
    async with httpx.AsyncClient(base_url=stack.base_url, trust_env=False, timeout=_BACK_S) as http:
        body = {"model": LOCAL, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 8}
        asked = (http.post("/chat/completions", json=body, headers=key_of("vault")) for _ in range(SLOTS))
        answers = await asyncio.gather(*asked)
    return sum(answer.status_code == 200 for answer in answers)


def _books_of(stack: Stack, tally: Tally) -> list[str]:
    """What is wrong with the ledger: a request that is there twice or not at all, or has left though it must not."""
    rows, attempts = stack.books.requests(), stack.books.every_attempt()
    times, tenants = Counter(row["request_id"] for row in rows), {row["id"]: row["tenant"] for row in rows}
    found = [f"{name} is {count} times in the ledger" for name, count in times.items() if count > 1]
    costs = Counter[int]()
    for attempt in attempts:
        costs[attempt["request"]] += attempt["cost_nano_usd"]
    found += [
        f"{row['request_id']} costs other than its calls" for row in rows if row["cost_nano_usd"] != costs[row["id"]]
    ]
    found += [f"{name} is not in the ledger" for name, fate in tally.ids.items() if fate in TOLD and not times[name]]
    left = [
        each for each in stack.books.every_attempt() if each["backend"] != LOCAL and tenants[each["request"]] == "vault"
    ]
    return found + [f"row {each['request']}: local only, and {each['backend']} was asked" for each in left]


def _memory_mb(gateway: psutil.Process) -> float:
    """Without the engine, which is another process and a new one after each death."""
    return round(gateway.memory_info().rss / 2**20, 1)


def problems(outcome: Outcome) -> list[str]:
    """What is not as it should be."""
    found = [f"wrong: {each}" for each in (*outcome.tally.wrong, *outcome.books)]
    found += [f"{name} is {value:g} and not 0" for name, value in outcome.rest.items() if value]
    if outcome.still != SLOTS:
        found.append(f"{outcome.still} of {SLOTS} slots answer")
    early, late = outcome.memory_mb
    if late - early > max(GROWTH_MB, GROWTH_SHARE * early):
        found.append(f"memory grew from {early:.1f} to {late:.1f} MiB")
    return found


def document(outcome: Outcome) -> dict[str, Any]:
    """The figures, for programs."""
    fates = outcome.tally.fates
    return {
        "seconds": outcome.seconds,
        "requests": {kind: {fate: fates[kind, fate] for fate in FATES if fates[kind, fate]} for kind in TENANTS},
        "troubles": dict(outcome.tally.troubles),
        "left": dict(outcome.rest),
        "slots_that_answer": outcome.still,
        "memory_mb": outcome.memory_mb,
        "problems": problems(outcome),
    }


def table(tally: Tally) -> str:
    """What became of the requests."""
    rows = [(kind, *(str(tally.fates[kind, fate]) for fate in FATES)) for kind in TENANTS]
    return "\n".join(
        [f"| | {' | '.join(FATES)} |", f"|---|{'--:|' * len(FATES)}", *(f"| {' | '.join(row)} |" for row in rows)]
    )


def told(outcome: Outcome) -> str:
    """The figures, for people."""
    early, late = outcome.memory_mb
    troubles = ", ".join(f"{trouble} {count} times" for trouble, count in outcome.tally.troubles.items())
    left = ", ".join(f"{name} {value:g}" for name, value in outcome.rest.items())
    return (
        f"{table(outcome.tally)}\n{outcome.tally.total:,} requests in {outcome.seconds:,.0f} s; {troubles}. "
        f"Memory of the gateway {early:.1f} MiB after a fifth, {late:.1f} at the end. Left: {left}. "
        f"{outcome.still} of {SLOTS} slots answer."
    )


def _end(_number: int, _frame: object) -> None:
    """End as after an interrupt: with all that was started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
