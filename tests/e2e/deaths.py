"""An engine that dies or hangs under fifty streams: what becomes of each, and when it is back."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import PRICES, Config, base, provider
from tests.e2e.crowd import KINDS, Caller, Crowd
from tests.e2e.stack import Stack, eventually
from tests.faults.handle import FaultServer

SLOTS = 8
AT_WORK = ("committed", "held whole", "on probation") * 2 + ("committed", "held whole")
WAITING = ("held whole",) * 12 + ("on probation",) * 12 + ("may go elsewhere",) * 12 + ("insists",) * 6
FOR_LOCAL_ALONE = ("committed", "insists")
_log = logging.getLogger(__name__)


class Death(NamedTuple):
    """How its streams ended, by kind of end; when the last of them, of those who may be answered elsewhere or were
    being answered, and when it answered again: seconds after it was struck.
    """

    ended: Counter[str]
    last_s: float
    back_s: float


def light_and_mid(faults: FaultServer, engine: dict[str, Any], alone_ms: int = 60_000) -> Config:
    """Light is a real engine with eight slots, called small, whose answers are held long; mid answers at once.

    Who insists on light waits for `alone_ms`.
    """
    return base(
        engines={"small": {**engine, "parallel": SLOTS, "context": 1024}},
        backends={
            "local": {"engine": "small", "price": PRICES["light"]},
            "mini": provider(faults, "mid", price=PRICES["mid"]),
        },
        tiers={"light": ["local"], "mid": ["mini"], "premium": []},
        gate={"max_wait_ms": 1_000, "max_wait_alone_ms": alone_ms},
        confidence={"probation": {"tokens": 500, "ms": 60_000}},
    )


async def death(
    stack: Stack, name: str, chance: random.Random, strike: Callable[[], None], *, within_s: float, back_s: float
) -> Death:
    """Strike at a random moment under fifty streams. Fails unless nobody waits longer than `within_s` and is told
    right, and light is back within `back_s`.
    """
    async with Crowd(stack.base_url, KINDS) as crowd:
        crowd.ask(name, AT_WORK)
        await crowd.streaming("committed", pieces=3)
        _log.info("%s: the slots are taken: %s", name, await asyncio.to_thread(stack.gate, "small"))
        crowd.ask(name, chance.sample(WAITING, len(WAITING)))
        await crowd.streaming("committed", pieces=chance.randrange(1, 30))
        _log.info("%s: now it is struck: %s", name, await asyncio.to_thread(stack.gate, "small"))
        strike()
        struck = crowd.time()
        returned = asyncio.create_task(_light_is_back(stack, back_s, crowd.time))
        await crowd.ended()
        back = await returned - struck
    ended = Counter(_judged(caller, struck, stack, within_s) for caller in crowd.callers)
    eventually(lambda: stack.gate("small")["in_use"] == stack.gate("small")["waiting"] == 0, "every slot is free")
    return Death(ended, _last(crowd.callers) - struck, back)


def _last(callers: Sequence[Caller]) -> float:
    return max(caller.ended_at for caller in callers if caller.kind != "insists")


async def _light_is_back(stack: Stack, limit: float, clock: Callable[[], float]) -> float:
    """Ask for a local answer until there is one; when that was."""
    await asyncio.to_thread(
        eventually, lambda: stack.chat("local", max_tokens=1).status_code == 200, "a local answer", limit
    )
    return clock()


def _judged(caller: Caller, struck: float, stack: Stack, within_s: float) -> str:
    """How a stream ended; fails where that is not how it should."""
    late = caller.ended_at - struck
    if caller.status != 200:
        assert caller.kind in FOR_LOCAL_ALONE, (
            caller,
            stack.books.request(caller.name),
            stack.books.attempts(caller.name),
        )
        agree(Told.whole(caller.whole), stack.books, caller.name)
        assert late < within_s, caller
        return "refused"
    read = caller.events
    agree(Told.streamed(read), stack.books, caller.name)
    if read.error is not None:
        assert caller.kind in FOR_LOCAL_ALONE, caller
        assert (read.error["code"], read.done, read.finish_reason) == ("upstream_interrupted", False, None)
        assert late < within_s, caller
        return "interrupted"
    assert (read.done, read.finish_reason in ("stop", "length")) == (True, True), caller
    assert late < within_s or caller.kind == "insists", caller
    if read.response.headers["x-forebay-backend"] == "mini":
        return "elsewhere"
    return "before" if late < 0 else "successor"
