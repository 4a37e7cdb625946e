"""`kill -9` of the engine under fifty streams, ten times; and when it is stopped for a while: numbers 7 and 6 of the
reference's acceptance tests of the gate (gate.md §6.10), on a real CPU engine.
"""

import asyncio
import logging
import random
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import Config
from tests.e2e.crowd import KINDS, Crowd, Kind
from tests.e2e.deaths import death, light_and_mid
from tests.e2e.homes import MODEL, engine_of
from tests.e2e.stack import eventually, running
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

KILLS = 10
WITHIN_S = 5.0
BACK_WITHIN_S = 30.0
STOPPED_S = 10.0
SEED = 20261125
_log = logging.getLogger(__name__)


def config(faults: FaultServer) -> Config:
    """Light is our own engine."""
    return light_and_mid(faults, {"kind": "llama_cpp", "model": MODEL})


@pytest.mark.timeout(400)
async def test_nobody_hangs_and_local_is_soon_back(model_path: Path, faults: FaultServer) -> None:
    """Who is held or waits is answered elsewhere, who is committed gets an error event, within 5 s; local is back
    within 30 s each time, nothing of a dead engine runs on, and the books say what each caller saw.
    """
    faults.always("mid", Says())
    chance = random.Random(SEED)
    seen: Counter[str] = Counter()
    with running(config(faults), model=model_path) as stack:
        stack.ready("light", "mid")
        for number in range(KILLS):
            engine = psutil.Process(engine_of(stack.home))
            died = await death(stack, f"kill-{number}", chance, engine.kill, within_s=WITHIN_S, back_s=BACK_WITHIN_S)
            _log.info("%d: %s", number, died)
            assert died.back_s < BACK_WITHIN_S
            assert not engine.is_running()
            assert engine_of(stack.home) not in (None, engine.pid)
            seen += died.ended
    assert seen["interrupted"] >= 2 * KILLS
    assert seen["elsewhere"] >= KILLS * 20
    assert seen["successor"] >= KILLS


@pytest.mark.timeout(200)
async def test_nobody_waits_for_an_engine_that_hangs(model_path: Path, faults: FaultServer) -> None:
    """SIGSTOP breaks no connection: its callers are sent away or told as soon as its silence is noticed. When it goes
    on it is the same engine, and serves.
    """
    faults.always("mid", Says())
    with running(config(faults), model=model_path) as stack:
        stack.ready("light", "mid")
        engine = psutil.Process(engine_of(stack.home))

        def stop_for_a_while() -> None:
            engine.suspend()
            asyncio.get_running_loop().call_later(STOPPED_S, engine.resume)

        died = await death(
            stack, "stop", random.Random(SEED), stop_for_a_while, within_s=STOPPED_S, back_s=BACK_WITHIN_S
        )
        _log.info("%s", died)
        assert engine_of(stack.home) == engine.pid
    assert died.ended["interrupted"] >= 2
    assert died.ended["elsewhere"] >= 20


STAYS = {"x-forebay-allow-fallback": "true", "x-forebay-local-only": "true"}
READ_SLOWLY = "Say hello. " * 150
"""A prompt that takes an engine long enough to tell how fast it is, and that is longer than those that follow."""


async def test_who_has_got_nothing_is_taken_back_before_the_fence_falls(model_path: Path, faults: FaultServer) -> None:
    """SIGSTOP: who may go elsewhere is answered there while the engine is still said to be well, and the books have one
    request with both tries. Who may not leave the box waits, and is told when it is known that nothing more comes.
    """
    faults.always("mid", Says())
    kinds = {**KINDS, "stays": Kind("local", STAYS, {"max_tokens": 8})}
    with running(config(faults), model=model_path) as stack:
        stack.ready("light", "mid")
        stack.events("local", READ_SLOWLY, max_tokens=1)
        eventually(lambda: stack.gate("small")["prompt_rate"] is not None, "the gate knows how fast it reads")
        engine = psutil.Process(engine_of(stack.home))
        engine.suspend()
        try:
            async with Crowd(stack.base_url, kinds) as crowd:
                crowd.ask("still", ["stays", "may go elsewhere"])
                stays, leaves = crowd.callers
                await asyncio.to_thread(eventually, lambda: leaves.over, "it was answered elsewhere")
                gate = await asyncio.to_thread(stack.gate, "small")
                await crowd.ended()
        finally:
            engine.resume()
        assert leaves.status == 200
        assert leaves.events.response.headers["x-forebay-backend"] == "mini"
        row = agree(Told.streamed(leaves.events), stack.books, leaves.name)
        tried = [(each["backend"], each["status"], each["error"]) for each in stack.books.attempts(leaves.name)]
        assert tried == [("local", "failed", "engine_unhealthy"), ("mini", "answered", None)]
        assert (row["status"], row["reason"]) == ("ok", "engine_unhealthy")
        assert (gate["ready"], gate["fenced"], gate["counts"]["evict"]) == (True, True, 1)
        assert stack.metric("forebay_gate_decisions_total", engine="small", outcome="evict") == 1
        agree(Told.whole(stays.whole), stack.books, stays.name)
        assert stays.ended_at > leaves.ended_at
        assert {each["backend"] for each in stack.books.attempts(stays.name)} == {"local"}
        eventually(lambda: stack.chat("local", max_tokens=1).status_code == 200, "a local answer")
        assert engine_of(stack.home) == engine.pid
    assert [call.body.count(leaves.name) for call in faults.calls()] == [1]
