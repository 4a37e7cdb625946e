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
FOR_LOCAL_ALONE = ("committed", "insists")
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
        gate={"max_wait_ms": 1_000, "max_wait_alone_ms": 60_000},
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
    assert seen["interrupted"] >= 2 * KILLS
    assert seen["elsewhere"] >= KILLS * 20
    assert seen["successor"] >= KILLS


async def one_death(stack: Stack, name: str, chance: random.Random) -> Counter[str]:
    """Kill the engine at a random moment under fifty streams; how many of them ended in which way."""
    engine = psutil.Process(engine_of(stack.home))
    async with Crowd(stack.base_url, KINDS) as crowd:
        crowd.ask(name, AT_WORK)
        await crowd.streaming("committed", pieces=3)
        crowd.ask(name, chance.sample(WAITING, len(WAITING)))
        await crowd.streaming("committed", pieces=chance.randrange(1, 30))
        os.kill(engine.pid, signal.SIGKILL)
        killed = time.monotonic()
        returned = asyncio.create_task(asyncio.to_thread(local_is_back, stack))
        await crowd.ended()
        back = await returned - killed
    ended = Counter(judge(caller, killed, stack) for caller in crowd.callers)
    last = max(caller.ended_at for caller in crowd.callers if caller.kind != "insists") - killed
    _log.info("%s: %s; the last %.2f s later, local back %.1f s later", name, dict(ended), last, back)
    assert back < BACK_WITHIN_S
    assert not engine.is_running()
    assert engine_of(stack.home) not in (None, engine.pid)
    eventually(lambda: stack.gate("small")["in_use"] == stack.gate("small")["waiting"] == 0, "every slot is free")
    return ended


def local_is_back(stack: Stack) -> float:
    """Ask for a local answer until there is one; when that was."""
    eventually(lambda: stack.chat("local", max_tokens=1).status_code == 200, "a local answer", 60)
    return time.monotonic()


def judge(caller: Caller, killed: float, stack: Stack) -> str:
    """How a stream ended; fails where that is not how it should."""
    late = caller.ended_at - killed
    if caller.status != 200:
        assert caller.kind in FOR_LOCAL_ALONE, caller
        agree(Told.whole(caller.whole), stack.books, caller.name)
        assert late < WITHIN_S
        return "refused"
    read = caller.events
    agree(Told.streamed(read), stack.books, caller.name)
    if read.error is not None:
        assert caller.kind in FOR_LOCAL_ALONE, caller
        assert (read.error["code"], read.done, read.finish_reason) == ("upstream_interrupted", False, None)
        assert late < WITHIN_S
        return "interrupted"
    assert (read.done, read.finish_reason is None) == (True, False)
    assert late < WITHIN_S or caller.kind == "insists", caller
    if read.response.headers["x-forebay-backend"] == "mini":
        return "elsewhere"
    return "before" if late < 0 else "successor"
