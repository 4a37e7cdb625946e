"""`kill -9` of the gateway: what it leaves is right, and what it started does not stay."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.configs import SECRETS, one_engine, three_tiers
from tests.e2e.homes import engine_of, install_model, processes_of
from tests.e2e.stack import Stack, eventually, start, started
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

LINGER_S = 30.0
"""How long the engine host waits for a gateway that vanished."""


def kill(stack: Stack) -> float:
    """Kill it, and say when it was dead."""
    stack.process.send_signal(signal.SIGKILL)
    assert stack.process.wait(10) == -signal.SIGKILL
    return time.monotonic()


def test_what_was_settled_is_in_the_books(home: Path, faults: FaultServer) -> None:
    """In the middle of a rush: the ledger is sound, and has all that was over half a second before, each once."""
    faults.always("mid", Says(pause_s=0.002))

    def rush(caller: int) -> dict[str, float]:
        answered: dict[str, float] = {}
        for number in range(1_000):
            request_id = f"{caller}-{number}"
            try:
                answer = stack.chat("mini", headers={"x-request-id": request_id})
            except httpx.TransportError:
                return answered
            assert answer.status_code == 200
            answered[request_id] = time.monotonic()
        raise AssertionError("it was never killed")

    stack = start(home, three_tiers(faults), SECRETS)
    try:
        stack.listening()
        with ThreadPoolExecutor(30) as pool:
            callers = [pool.submit(rush, caller) for caller in range(30)]
            faults.wait("ended", least=2_000, timeout=60)
            killed = kill(stack)
            answered = {name: at for caller in callers for name, at in caller.result().items()}
    finally:
        stack.close(leaves_engines=True)
    assert stack.books.sound()
    written = [row["request_id"] for row in stack.books.requests()]
    assert len(written) == len(set(written))
    settled = {name for name, at in answered.items() if at < killed - 0.5}
    assert settled
    assert settled <= set(written)
    with started(home, three_tiers(faults), SECRETS) as again:
        again.listening()
        assert again.chat("mini", headers={"x-request-id": "after"}).status_code == 200
        assert len(again.books.requests()) >= len(written)
        assert again.books.request("after")["status"] == "ok"


@pytest.mark.timeout(200)
def test_its_engine_waits_a_while_for_the_next_and_then_goes(home: Path, model_path: Path) -> None:
    """A new start soon afterwards finds the same engine, idle; without one, engine and host end by themselves."""
    install_model(home, model_path)
    first = start(home, one_engine())
    try:
        first.listening().ready("light")
        engine = engine_of(home)
        assert engine is not None
        with first.stream("local", max_tokens=400, temperature=1.0) as response:
            next(response.iter_raw())
            kill(first)
        eventually(lambda: psutil.Process(engine).cpu_percent(0.3) < 30, "it does not work for nobody")
    finally:
        first.close(leaves_engines=True)
    second = start(home, one_engine())
    try:
        second.listening().ready("light")
        assert engine_of(home) == engine
        assert second.chat("local", max_tokens=4).status_code == 200
        killed = kill(second)
    finally:
        second.close(leaves_engines=True)
    eventually(lambda: not processes_of(home), "engine and host are gone", LINGER_S + 30)
    assert time.monotonic() - killed > LINGER_S / 2
