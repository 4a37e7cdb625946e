"""`kill -9` of the engine under fifty streams, ten times."""

import asyncio
import logging
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import PRICES, Config, base, provider
from tests.e2e.crowd import KINDS, Caller, Crowd
from tests.e2e.homes import MODEL, engine_of
from tests.e2e.stack import Stack, eventually, running
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

KILLS = 10
SLOTS = 8
WITHIN_S = 5.0
BACK_WITHIN_S = 30.0
AT_WORK = ("committed", "held whole", "on probation") * 2 + ("committed", "held whole")
WAITING = ("held whole",) * 12 + ("on probation",) * 12 + ("may go elsewhere",) * 12 + ("insists",) * 6
SEED = 20261125
_log = logging.getLogger(__name__)


def light_and_mid(faults: FaultServer) -> Config:
    """Light is a real engine with eight slots, whose answers are held long; mid answers at once."""
    return base(
        engines={"small": {"kind": "llama_cpp", "model": MODEL, "parallel": SLOTS, "context": 1024}},
        backends={
            "local": {"engine": "small", "price": PRICES["light"]},
            "mini": provider(faults, "mid", price=PRICES["mid"]),
        },
        tiers={"light": ["local"], "mid": ["mini"], "premium": []},
        gate={"max_wait_ms": 3_000, "max_wait_alone_ms": 60_000},
        confidence={"probation": {"tokens": 500, "ms": 60_000}},
    )


@pytest.mark.timeout(400)
async def test_nobody_hangs_and_local_is_soon_back(model_path: Path, faults: FaultServer) -> None:
    """Who is held or waits is answered elsewhere, who is committed gets an error event, within 5 s; local is back
    within 30 s each time, nothing of a dead engine runs on, and the books say what each caller saw.
    """
    faults.always("mid", Says())
    chance = random.Random(SEED)
    seen: Counter[str] = Counter()
    with running(light_and_mid(faults), model=model_path) as stack:
        stack.ready("light", "mid")
        for number in range(KILLS):
            seen += await one_death(stack, f"kill-{number}", chance)
    assert seen["interrupted"] >= KILLS
    assert seen["elsewhere"] >= KILLS * 20
    assert seen["successor"] >= KILLS


async def one_death(stack: Stack, name: str, chance: random.Random) -> Counter[str]:
    """Kill the engine at a random moment under fifty streams; how many of them ended in which way."""
    engine = psutil.Process(engine_of(stack.home))
    async with Crowd(stack.base_url, KINDS) as crowd:
        crowd.ask(name, AT_WORK)
        await asyncio.to_thread(eventually, lambda: stack.gate("small")["in_use"] == SLOTS, "every slot is taken")
        crowd.ask(name, chance.sample(WAITING, len(WAITING)))
        await crowd.streaming(pieces=chance.randrange(3, 40))
        os.kill(engine.pid, signal.SIGKILL)
        killed = time.monotonic()
        await crowd.ended()
    ended = Counter(judge(caller, killed, stack) for caller in crowd.callers)
    await asyncio.to_thread(eventually, lambda: stack.chat("local", max_tokens=4).status_code == 200, "local is back")
    took = time.monotonic() - killed
    slowest = max(caller.ended_at or 0.0 for caller in crowd.callers if caller.kind != "insists") - killed
    _log.info("%s: %s, the last after %.2f s; local is back after %.1f s", name, dict(ended), slowest, took)
    assert took < BACK_WITHIN_S
    assert not engine.is_running()
    assert engine_of(stack.home) not in (None, engine.pid)
    eventually(lambda: stack.gate("small")["in_use"] == stack.gate("small")["waiting"] == 0, "every slot is free")
    return ended


def judge(caller: Caller, killed: float, stack: Stack) -> str:
    """How a stream ended; fails where that is not how it should."""
    assert caller.ended_at is not None
    late = caller.ended_at - killed
    if caller.status != 200:
        assert caller.kind in ("committed", "insists"), caller
        agree(Told.whole(caller.whole), stack.books, caller.name)
        assert late < WITHIN_S
        return "refused"
    read = caller.events
    agree(Told.streamed(read), stack.books, caller.name)
    if read.error is not None:
        assert caller.kind == "committed", caller
        assert (read.error["code"], read.done, read.finish_reason) == ("upstream_interrupted", False, None)
        assert late < WITHIN_S
        return "interrupted"
    assert (read.done, read.finish_reason is None) == (True, False)
    backend = read.response.headers["x-forebay-backend"]
    if backend == "local":
        assert late < 0 or caller.kind == "insists", caller
        return "before" if late < 0 else "successor"
    assert late < WITHIN_S
    return "elsewhere"
