"""An engine that stands still: who has got nothing yet is answered elsewhere, if he may be; all tries are settled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.errors import Broken, Reason
from gateway.escalation import Limits
from gateway.gate import Learnt
from gateway.outcome import OutcomeStatus
from gateway.types import Identity
from tests.gateway.corridor.backends import Behaviour, Pause, Streamed, Whole, pieces, says
from tests.gateway.corridor.house import BOX, LIMITS, MINI, UP, House, text_of
from tests.gateway.nouns import IDENTITY, REQUEST, change
from tests.gateway.virtual_time import pass_time

STILL_S = 600.0
WITHIN_S = 1.5
"""A second of silence, and two looks."""
STUCK = Streamed((Pause(STILL_S), *pieces("late")))
STUCK_WHOLE = Whole(says("late").outcome, Pause(STILL_S))
GOOD = says("All is well.")
CUT = Whole(Broken("mini: cut"))
PINNED = change(REQUEST, requested_model="box", stream=True)
LOCAL_ONLY = change(IDENTITY, local_only=True)


def stopped(*mini: Behaviour, stream: bool, limits: Limits = LIMITS, request_timeout_s: float = 3_600.0) -> House:
    """A box that says nothing for ten minutes to the first two who come, and whose speed is known."""
    house = House(
        box=(STUCK, STUCK if stream else STUCK_WHOLE, GOOD),
        mini=mini,
        slots=4,
        limits=limits,
        request_timeout_s=request_timeout_s,
    )
    house.gate.recall("small", Learnt(rate=1_000.0, first=(1.0,) * 100))
    house.gate.update(UP)
    return house


@asynccontextmanager
async def somebody_waits(house: House) -> AsyncIterator[None]:
    """A stream that nobody else may answer; in the end it has its answer. Without one nobody knows that nothing comes,
    for the tokens of whole answers are not told.
    """
    waiting = asyncio.create_task(house.stream(PINNED))
    await pass_time(0.01)
    yield
    assert text_of(await waiting) == "late"
    assert house.ledger.outcomes[-1].attempt_count == 1


async def answered(house: House, *, stream: bool, identity: Identity = IDENTITY) -> tuple[str | None, float]:
    """The text that a caller gets, and after how many seconds."""
    began = asyncio.get_running_loop().time()
    asked = change(REQUEST, id="r-2")
    text = text_of(await house.stream(asked, identity)) if stream else (await house.answer(asked, identity))[0]
    return text, asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("stream", [False, True])
async def test_who_may_go_elsewhere_does_so_long_before_the_fence_falls(*, stream: bool) -> None:
    """One record, with both tries, each settled once: the engine's costs its prompt, and is not held against it."""
    house = stopped(GOOD, stream=stream)
    async with somebody_waits(house):
        text, took = await answered(house, stream=stream)
        assert (text, took <= WITHIN_S) == ("All is well.", True)
        outcome = house.ledger.outcomes[0]
        tried = [(each.backend, each.reason.value, each.status.value, each.error) for each in outcome.attempts]
        assert tried == [
            ("box", "low_complexity", "failed", Reason.ENGINE_UNHEALTHY),
            ("mini", "engine_unhealthy", "answered", None),
        ]
        assert (outcome.status, outcome.passed_over) == (OutcomeStatus.OK, ())
        assert outcome.attempts[0].usage.prompt > 0
        assert house.breaker_open_s("box") == 0
        report = house.gate.reports()[0]
        assert (report.counts["evict"], report.state.in_use, report.fenced) == (1, 1, True)
    house.assert_books(2)


async def test_an_engine_that_is_left_by_all_is_asked_again_at_once() -> None:
    """Six at a time are six failures in a row, and none that says anything of the next."""
    house = House(box=(*[STUCK] * 6, GOOD), mini=(GOOD,), slots=8)
    house.gate.recall("small", Learnt(rate=1_000.0, first=(1.0,) * 100))
    house.gate.update(UP)
    found = await asyncio.gather(*(answered(house, stream=True) for _ in range(6)))
    assert found == [("All is well.", WITHIN_S)] * 6
    assert len(house["mini"].calls) == 6
    await pass_time(2.0)
    await answered(house, stream=True)
    assert len(house["box"].calls) == 7
    house.assert_books(7)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_must_stay_stays(*, stream: bool) -> None:
    """Data that may not leave the box waits for it."""
    house = stopped(GOOD, stream=stream)
    async with somebody_waits(house):
        text, took = await answered(house, stream=stream, identity=LOCAL_ONLY)
        assert (text, round(took)) == ("late", STILL_S)
    assert house["mini"].calls == []
    house.assert_books(2)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_finds_nobody_else_comes_back(*, stream: bool) -> None:
    """Late is better than never: the cloud fails, and the box is asked once more; this time he stays."""
    house = stopped(CUT, stream=stream)
    async with somebody_waits(house):
        assert (await answered(house, stream=stream))[0] == "All is well."
        found = [(each.backend, each.status.value) for each in house.ledger.outcomes[0].attempts]
        assert found == [("box", "failed"), ("mini", "failed"), ("box", "answered")]
    house.assert_books(2)


async def test_who_can_pay_for_nobody_else_after_all_comes_back() -> None:
    """What the engine has read may cost a little more than was expected, and the budget holds."""
    house = stopped(GOOD, stream=False)
    both = sum(each.cost_nano for each in house.broker.decide(REQUEST, IDENTITY).route.candidates)
    house = stopped(GOOD, stream=False, limits=change(LIMITS, max_cost_nano=both))
    async with somebody_waits(house):
        assert (await answered(house, stream=False))[0] == "All is well."
        assert [each.backend for each in house.ledger.outcomes[0].attempts] == ["box", "box"]
    assert house["mini"].calls == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("why", ["its breaker is open", "no attempt is left", "it costs too much with both"])
async def test_nobody_is_taken_back_for_whom_nobody_else_would_be_asked(why: str, *, stream: bool) -> None:
    """At the moment at which it counts: what has changed since he was let in is known."""
    limits = {
        "its breaker is open": LIMITS,
        "no attempt is left": change(LIMITS, max_attempts=1),
        # A hundred tokens that cost 2,000 nano-dollars each, and a few of a prompt: one answer is paid for, not two.
        "it costs too much with both": change(LIMITS, max_cost_nano=300_000),
    }[why]
    house = stopped(GOOD, stream=stream, limits=limits)
    async with somebody_waits(house):
        asking = asyncio.create_task(answered(house, stream=stream))
        await pass_time(0.5)
        if why == "its breaker is open":
            now = asyncio.get_running_loop().time()
            house.attempts.breakers["mini", None].told_to_wait(now, 2 * STILL_S)
        assert (await asking)[0] == "late"
    assert house["mini"].calls == []
    assert "evict" not in house.gate.reports()[0].counts


async def test_it_happens_once_to_a_request() -> None:
    """Both engines of the box stand still: taken back from the first, it stays with the second."""
    other = change(MINI, on_box=True, engine="cpu")
    house = House(box=(STUCK,), mini=(STUCK,), big=(GOOD,), specs=(BOX, other, change(MINI, name="big")), slots=4)
    for name in ("small", "cpu"):
        house.gate.recall(name, Learnt(rate=1_000.0, first=(1.0,) * 100))
        house.gate.update(change(UP, name=name))
    text, took = await answered(house, stream=True)
    assert (text, round(took)) == ("late", STILL_S + 2)
    assert house.tried() == [("box", "low_complexity", "failed"), ("mini", "engine_unhealthy", "answered")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("turns", range(12))
async def test_a_caller_may_hang_up_at_any_turn_of_it(turns: int, *, stream: bool) -> None:
    """One record, every slot given back, no stream left open."""
    house = stopped(GOOD, stream=stream)
    async with somebody_waits(house):
        asking = asyncio.create_task(answered(house, stream=stream))
        while not house.gate.reports()[0].counts.get("evict"):
            await pass_time(0.01)
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        (outcome,) = house.ledger.outcomes
        assert outcome.status in (OutcomeStatus.CANCELLED, OutcomeStatus.OK)
        assert outcome.attempts[0].status.value in ("cancelled", "failed")
        assert house.gate.states()[0].in_use == 1
    house.assert_books(2)
