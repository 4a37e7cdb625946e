"""The gate in front of real CPU engines, whatever happens to them: numbers 5, 10, 11, 12, 13 and 14 of the reference's
acceptance tests (gate.md §6.10). 6 and 7 stand in `test_engine_death`; what is a matter of seconds is measured by
`scripts/bench gate --real`, and here only who answers, in which order, and that nobody is lost.
"""

import asyncio
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_models.hardware import cpu_count
from tests.e2e.configs import PRICES, Config, base, hash_of, key_of, provider
from tests.e2e.crowd import Caller, Crowd, Kind
from tests.e2e.forged_metrics import Forgery, Page, forged_metrics
from tests.e2e.homes import MODEL, engine_of, install_model
from tests.e2e.stack import Stack, eventually, running, started
from tests.faults.behaviours import Says, Status
from tests.faults.handle import FaultServer

SLOTS, WAITING = 2, 4
ELSEWHERE = {"x-forebay-allow-fallback": "true", "x-forebay-no-escalation": "true"}
_LONG: dict[str, Any] = {"max_tokens": 60, "temperature": 1.0}
_SHORT: dict[str, Any] = {"max_tokens": 4}
KINDS = {
    "batch": Kind("local", key_of("bulk"), _LONG),
    "urgent": Kind("local", key_of("rush"), _SHORT),
    "urgent, or elsewhere": Kind("local", {**key_of("rush"), **ELSEWHERE}, _SHORT),
    "local only": Kind("local", {**key_of("vault"), **ELSEWHERE}, _SHORT),
}
LOST = re.compile(r"^(vllm:(?:num_requests|kv_cache).*) \S+$", re.MULTILINE)


def config(faults: FaultServer, engine: Config) -> Config:
    """One engine with two slots, a cloud that is the fault server, and three tenants; a few may wait."""
    classes: dict[str, Config] = {
        "fast": {"priority": "interactive", "ttft_ms": 20_000, "itl_ms": 5_000},
        "slow": {"priority": "batch"},
    }
    tenants: dict[str, Config] = {
        "rush": {"class": "fast"},
        "bulk": {"class": "slow"},
        "vault": {"class": "fast", "local_only": True},
    }
    return base(
        engines={"small": {"model": MODEL, "parallel": SLOTS, "context": 1024, **engine}},
        backends={
            "local": {"engine": "small", "price": PRICES["light"]},
            "mini": provider(faults, "mid", price=PRICES["mid"]),
        },
        tiers={"light": ["local"], "mid": ["mini"], "premium": []},
        classes={name: {"default_tier": "light", "max_tier": "mid", **each} for name, each in classes.items()},
        tenants={
            name: {**each, "keys": [{"name": "ci", "hash": hash_of(f"key-of-{name}")}]}
            for name, each in tenants.items()
        },
        auth={"mode": "keys"},
        gate={"max_wait_ms": 500, "max_wait_alone_ms": 60_000, "max_waiting": WAITING},
    )


@pytest.fixture(scope="module")
def forgery(real_mid: str) -> Iterator[Forgery]:
    """A real engine whose `/metrics` may be forged."""
    with forged_metrics(real_mid) as found:
        yield found


@pytest.fixture(scope="module")
def the_stack(forgery: Forgery, the_fault_server: FaultServer) -> Iterator[Stack]:
    """A gateway over that engine."""
    with running(config(the_fault_server, {"kind": "attached", "urls": [forgery.url]})) as found:
        yield found.ready("light")


@pytest.fixture
def stack(the_stack: Stack, faults: FaultServer) -> Stack:
    """The same, while nobody uses it, and with a cloud that answers."""
    faults.always("mid", Says())
    eventually(lambda: at_rest(the_stack), "nobody is there")
    return the_stack


def at_rest(stack: Stack) -> bool:
    """Whether no slot and no place in the queue is taken."""
    state = stack.gate("small")
    return (state["in_use"], state["waiting"]) == (0, 0)


def answerers(stack: Stack, count: int) -> Counter[str]:
    """Who answers so many requests, one after the other, that may go elsewhere."""
    headers = {**key_of("rush"), **ELSEWHERE}
    answers = [stack.chat("local", headers=headers, **_SHORT) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.headers["x-forebay-backend"] for answer in answers)


async def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for it without stopping those who stream."""
    await asyncio.to_thread(eventually, condition, what, seconds)


def judged(caller: Caller) -> str:
    """Who answered; or `refused`, which fails if nobody said when to come back. A stream has its end."""
    if caller.status != 200:
        assert caller.status in (429, 503), caller.raw
        assert int(caller.whole.headers["retry-after"]) >= 1
        return "refused"
    assert caller.events.done, caller
    assert caller.events.error is None
    return str(caller.events.response.headers["x-forebay-backend"])


@contextmanager
def hogs() -> Iterator[None]:
    """As many processes as there are cores, which do nothing but take them."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cpu_count())]
    try:
        yield
    finally:
        for hog in started:
            hog.kill()
            hog.wait(10)


async def test_a_hog_costs_nobody_his_answer(stack: Stack) -> None:
    """5, on a real engine and with real processes that take its cores: everybody is answered, here or elsewhere, and
    when they are gone the box answers again.
    """
    async with Crowd(stack.base_url, KINDS) as crowd:
        with hogs():
            for turn in range(3):
                crowd.ask(f"hog-{turn}", ["urgent, or elsewhere"] * 3)
                await crowd.ended()
        found = Counter(judged(caller) for caller in crowd.callers)
    assert found["local"] + found["mini"] == 9
    await until(lambda: answerers(stack, 1)["local"] == 1, "the box answers again")
    assert at_rest(stack)


def noise(page: str) -> Page:
    """Figures that mean nothing: everything is said to be full."""
    return 200, LOST.sub(r"\1 900", page)


def missing(page: str) -> Page:
    """No figure that a gate might want."""
    return 200, LOST.sub("", page)


def broken(_page: str) -> Page:
    """No page."""
    return 500, "no"


@pytest.mark.parametrize("forged", [noise, missing, broken])
def test_the_engines_own_figures_decide_nothing(stack: Stack, forgery: Forgery, forged: Callable[[str], Page]) -> None:
    """10, on a real engine: with figures that are wrong, missing or not to be had the same requests go the same way."""
    before = answerers(stack, 4)
    seen, honest = forgery.shown, forgery.forge
    forgery.forge = forged
    try:
        eventually(lambda: forgery.shown >= seen + 3, "the forged page was read")
        assert answerers(stack, 4) == before == Counter(local=4)
    finally:
        forgery.forge = honest


async def test_when_all_are_cancelled_the_box_answers_at_once(stack: Stack, forgery: Forgery) -> None:
    """11, on a real engine: its figures stay what they were when it was full, and it is used all the same."""
    honest = forgery.forge
    async with Crowd(stack.base_url, KINDS) as crowd:
        crowd.ask("cancelled", ["batch"] * SLOTS)
        await crowd.streaming("batch", 2)
        full = await asyncio.to_thread(page_of, forgery)
        forgery.forge = lambda _page: (200, full)
    try:
        await until(lambda: at_rest(stack), "their slots are free", 30)
        assert await asyncio.to_thread(answerers, stack, 2) == Counter(local=2)
    finally:
        forgery.forge = honest


def page_of(forgery: Forgery) -> str:
    """What the engine says at this moment, if its KV cache were nearly full."""
    pages: list[str] = []
    honest = forgery.forge

    def keep(page: str) -> Page:
        pages.append(re.sub(r"^(vllm:kv_cache_usage_perc.*) \S+$", r"\1 0.99", page, flags=re.MULTILINE))
        return 200, page

    forgery.forge = keep
    eventually(lambda: bool(pages), "the page was read")
    forgery.forge = honest
    return pages[-1]


async def test_a_flood_of_batch_work_lets_the_urgent_pass(stack: Stack) -> None:
    """13, on a real engine: all slots are taken and all places but one; who is urgent enters before all who wait, and
    nobody is lost.
    """
    async with Crowd(stack.base_url, KINDS) as crowd:
        crowd.ask("flood", ["batch"] * (SLOTS + WAITING - 1))
        await until(lambda: stack.gate("small")["waiting"] == WAITING - 1, "they wait")
        crowd.ask("flood", ["urgent"])
        await crowd.ended()
    assert [judged(caller) for caller in crowd.callers] == ["local"] * (SLOTS + WAITING)
    order = [caller.kind for caller in sorted(crowd.callers, key=lambda caller: caller.began_at)]
    assert order.index("urgent") <= SLOTS + 1


def test_nobody_is_let_in_before_the_engine_has_been_tried(home: Path, model_path: Path, faults: FaultServer) -> None:
    """12, a cold start of a real engine, stopped as soon as it is born: who may go elsewhere does, and no slot is given
    until it has answered a token to who looks after it; who may not go waits for that.
    """
    faults.always("mid", Says())
    install_model(home, model_path)
    with started(home, config(faults, {"kind": "llama_cpp"})) as cold:
        eventually(lambda: engine_of(home) is not None, "the engine is born")
        newborn = psutil.Process(engine_of(home))
        newborn.suspend()
        cold.listening()
        # Asked before anybody has: a connection that breaks would shut the gate too.
        state = cold.gate("small")
        early = cold.chat("local", headers={**key_of("rush"), **ELSEWHERE}, **_SHORT)
        newborn.resume()
        assert (early.status_code, early.headers["x-forebay-backend"]) == (200, "mini")
        assert (state["ready"], state["in_use"]) == (False, 0)
        alone = cold.chat("local", headers=key_of("vault"), **_SHORT)
        assert (alone.status_code, alone.headers["x-forebay-backend"]) == (200, "local")
        assert cold.gate("small")["ready"]
    assert all(call.model == "mid" for call in faults.calls())


async def test_when_nobody_has_room_the_queue_is_bounded_and_nothing_leaves(stack: Stack, faults: FaultServer) -> None:
    """14, on a real engine, with a cloud that is down: a few wait, the others are told when to come back, and what is
    to stay on the box does.
    """
    faults.always("mid", Status(status=503))
    lengths: list[int] = []
    async with Crowd(stack.base_url, KINDS) as crowd:
        crowd.ask("full", ["batch"] * SLOTS)
        await crowd.streaming("batch", 1)
        crowd.ask("full", ["local only", "urgent, or elsewhere"] * (WAITING + 2))

        def over() -> bool:
            lengths.append(stack.gate("small")["waiting"])
            return all(caller.over for caller in crowd.callers)

        await until(over, "everybody has an answer", 120)
    found = Counter(judged(caller) for caller in crowd.callers)
    assert found["local"] + found["refused"] == len(crowd.callers)
    assert found["local"] >= SLOTS
    assert found["refused"] >= 1
    assert max(lengths) <= WAITING
    names = [caller.name for caller in crowd.callers if caller.kind == "local only"]
    assert not [call for call in faults.calls() if any(name in call.body for name in names)]
