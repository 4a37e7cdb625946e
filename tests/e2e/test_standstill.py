"""A laptop that sleeps, a machine that is paused: everything stands still, and goes on as if nothing had been."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.asleep import asleep
from tests.e2e.configs import PRICES, TO_MID, base, provider
from tests.e2e.crowd import Crowd, Kind
from tests.e2e.homes import MODEL, engine_of, processes_of
from tests.e2e.stack import eventually, running
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

ASLEEP_S = 6.0
QUICK = {"connect_s": 1, "first_token_s": 2, "idle_s": 2, "total_s": 4}
AT_MID = {0: ("whole", "streamed") * 4, 4: ("streamed",) * 4}
"""Those whose answers have not begun when it falls asleep, and those who have four pieces."""
KINDS = {
    "whole": Kind("auto", TO_MID, {"stream": False}),
    "streamed": Kind("auto", TO_MID),
    "local": Kind("local", body={"max_tokens": 300, "temperature": 1.0}),
}


@pytest.mark.timeout(120)
async def test_who_slept_blames_nobody(model_path: Path, faults: FaultServer) -> None:
    """Three times as long as a provider may be silent: what it said meanwhile is read, no provider is left alone and no
    engine is ended, and every answer is whole.
    """
    timeouts = {"timeouts": QUICK, "price": PRICES["mid"]}
    config = base(
        engines={"small": {"kind": "llama_cpp", "model": MODEL, "parallel": 4, "context": 1024}},
        backends={
            "local": {"engine": "small", "price": PRICES["light"], "timeouts": {**QUICK, "total_s": 60}},
            "mini": provider(faults, "mid", **timeouts),
        },
        tiers={"light": ["local"], "mid": ["mini"], "premium": []},
    )
    with running(config, model=model_path) as stack:
        stack.ready("light", "mid")
        engine = engine_of(stack.home)
        async with Crowd(stack.base_url, KINDS) as crowd:
            crowd.ask("here", ["local"] * 4)
            await crowd.streaming("local", pieces=8)
            for pieces, kinds in AT_MID.items():
                faults.always("mid", Says(text="All is well. " * 8, hold=f"{pieces}", hold_after=pieces or -1))
                crowd.ask(f"{pieces}-pieces", kinds)
                await asyncio.to_thread(faults.wait, "held", least=len(crowd.callers) - 4, model="mid")
            async with asleep(processes_of(stack.home), ASLEEP_S):
                for pieces in AT_MID:
                    faults.release(f"{pieces}")
                await asyncio.to_thread(faults.wait, "ended", least=len(crowd.callers) - 4, model="mid")
            await crowd.ended()
        assert {caller.status for caller in crowd.callers} == {200}
        streamed = [caller.events for caller in crowd.callers if caller.kind != "whole"]
        assert [(read.error, read.done) for read in streamed] == [(None, True)] * len(streamed)
        assert {attempt["status"] for attempt in stack.books.every_attempt()} == {"answered"}
        assert stack.chat(headers=TO_MID).headers["x-forebay-backend"] == "mini"
        eventually(lambda: stack.chat("local", max_tokens=1).status_code == 200, "the engine serves")
        assert engine_of(stack.home) == engine
