"""The gate: who waits how long, who is told what, and when to come back."""

import asyncio
import math

import pytest

from gateway.errors import Reason, Rejected
from gateway.gate import Gate, GateSettings
from gateway.gate.permits import Permit
from gateway.types import EngineView, GateState, Priority, SlaClass
from tests.gateway.applicants import applicant
from tests.gateway.nouns import SLA, change
from tests.gateway.virtual_time import pass_time

SETTINGS = GateSettings(max_wait_s=2.0, max_wait_alone_s=20.0, max_waiting=3)
UP = EngineView(name="small", ready=True, given_up=False, url="http://e", detail="up")
LOADING = change(UP, ready=False, url=None, detail="starting: loads the model")
LOST = change(UP, ready=False, given_up=True, url=None, detail="quarantine: crashed 5 times")


def gate(view: EngineView | None = UP, slots: int = 1, settings: GateSettings = SETTINGS) -> Gate:
    """A gate in front of one engine."""
    made = Gate({"small": slots}, settings)
    if view is not None:
        made.update(view)
    return made


def now() -> float:
    """The time on the loop's clock."""
    return asyncio.get_running_loop().time()


async def enter(subject: Gate, sla: SlaClass = SLA, *, alone: bool = False, deadline: float = math.inf) -> Permit:
    """A permit for the engine."""
    return await subject.enter("small", applicant(sla, alone=alone, deadline=deadline))


async def refused(
    subject: Gate, sla: SlaClass = SLA, *, alone: bool = False, deadline: float = math.inf
) -> tuple[Rejected, float]:
    """Why nobody entered, and after how many seconds that was said."""
    started = now()
    with pytest.raises(Rejected) as caught:
        await enter(subject, sla, alone=alone, deadline=deadline)
    return caught.value, now() - started


async def test_whoever_finds_a_slot_free_enters_at_once() -> None:
    """Up to the engine's slots, and again when one is given back."""
    subject = gate(slots=2)
    started = now()
    first, _ = await enter(subject), await enter(subject)
    first.release()
    await enter(subject)
    assert now() == started
    assert subject.states() == [GateState(engine="small", slots=2, in_use=2, waiting=0, ready=True, detail="up")]


@pytest.mark.parametrize(
    ("ttft_s", "alone", "patience"),
    [
        (None, False, 2.0),
        (1.0, False, 0.25),
        (4.0, False, 1.0),
        (100.0, False, 2.0),
        (None, True, 20.0),
        (1.0, True, 20.0),
    ],
)
async def test_how_long_one_waits(*, ttft_s: float | None, alone: bool, patience: float) -> None:
    """A share of the class's objective, at most the setting; much longer where nobody else may answer."""
    subject = gate()
    await enter(subject)
    error, waited = await refused(subject, change(SLA, ttft_s=ttft_s), alone=alone)
    assert error.reason is Reason.NO_CAPACITY
    assert waited == pytest.approx(patience)


@pytest.mark.parametrize("alone", [False, True])
async def test_nobody_waits_beyond_the_deadline(*, alone: bool) -> None:
    """What is left of the request's time bounds the wait; a deadline in the past is no wait at all."""
    subject = gate()
    await enter(subject)
    assert (await refused(subject, alone=alone, deadline=now() + 0.5))[1] == pytest.approx(0.5)
    assert (await refused(subject, alone=alone, deadline=now() - 9))[1] == 0.0


async def test_who_waits_enters_when_a_slot_is_free() -> None:
    """Within the patience, higher class first."""
    subject = gate()
    held = await enter(subject)
    batch = asyncio.create_task(enter(subject, change(SLA, priority=Priority.BATCH), alone=True))
    vip = asyncio.create_task(enter(subject, change(SLA, priority=Priority.INTERACTIVE), alone=True))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(1.0, held.release)
    permit = await vip
    assert not batch.done()
    permit.release()
    await batch


async def test_the_queue_is_bounded() -> None:
    """One more than may wait is told at once, and that there is no room."""
    subject = gate()
    held = await enter(subject)
    waiting = [asyncio.create_task(enter(subject, alone=True)) for _ in range(3)]
    await asyncio.sleep(0)
    error, waited = await refused(subject, alone=True)
    assert (error.reason, waited) == (Reason.NO_CAPACITY, 0.0)
    assert "3 requests wait" in str(error)
    for _ in waiting:
        held.release()
        done, _pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (task,) = done
        waiting.remove(task)
        held = task.result()
    assert subject.states()[0].in_use == 1


@pytest.mark.parametrize(("view", "words"), [(None, "not seen yet"), (LOADING, "loads the model")])
async def test_a_gate_that_is_not_up_is_waited_for_and_says_why(view: EngineView | None, words: str) -> None:
    """While the model loads requests follow the same path: a bounded wait, then somebody else's turn."""
    error, waited = await refused(gate(view))
    assert error.reason is Reason.ENGINE_UNHEALTHY
    assert waited == pytest.approx(2.0)
    assert words in str(error)
    assert error.retry_after is not None
    assert error.retry_after > 0


async def test_those_who_wait_enter_as_soon_as_it_is_up() -> None:
    """And no more than there are slots."""
    subject = gate(LOADING, slots=2)
    waiting = [asyncio.create_task(enter(subject, alone=True)) for _ in range(3)]
    asyncio.get_running_loop().call_later(5.0, subject.update, UP)
    started = now()
    done, pending = await asyncio.wait(waiting, timeout=10.0, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0)
    assert now() - started == pytest.approx(5.0)
    assert sum(task.done() for task in waiting) == 2
    next(iter(done)).result().release()
    await asyncio.wait(pending)
    assert all(task.done() for task in waiting)


async def test_an_engine_that_is_given_up_is_not_waited_for() -> None:
    """Nobody expects it back: the next candidate's turn comes at once, alone or not."""
    for alone in (False, True):
        error, waited = await refused(gate(LOST), alone=alone)
        assert (error.reason, waited) == (Reason.ENGINE_UNHEALTHY, 0.0)
        assert "crashed 5 times" in str(error)


async def test_an_engine_that_goes_down_lets_nobody_else_in() -> None:
    """Free slots do not count; permits that are out stay out and come back as usual."""
    subject = gate(slots=2)
    permit = await enter(subject)
    subject.update(LOADING)
    assert (await refused(subject))[0].reason is Reason.ENGINE_UNHEALTHY
    permit.release()
    assert subject.states() == [
        GateState(engine="small", slots=2, in_use=0, waiting=0, ready=False, detail="starting: loads the model")
    ]


async def test_who_waits_is_not_sent_after_those_who_met_it_dead() -> None:
    """The gate is shut before the slot is given on; once the host has spoken of a successor, it opens for that."""
    subject = gate()
    permit = await enter(subject)
    started = now()
    waiting = asyncio.create_task(enter(subject, alone=True))
    await asyncio.sleep(0)
    permit.doubt()
    permit.release()
    assert not subject.is_open("small")
    asyncio.get_running_loop().call_later(0.1, subject.update, change(UP, detail="degraded: no answer"))
    asyncio.get_running_loop().call_later(0.2, subject.update, LOADING)
    asyncio.get_running_loop().call_later(0.8, subject.update, change(UP, url="http://successor"))
    await waiting
    assert now() - started == pytest.approx(0.8)


async def test_a_break_that_nobody_shares_is_nothing() -> None:
    """One connection in three broke: the others go on, and after a moment the gate lets in again."""
    subject = gate(slots=4)
    permits = [await enter(subject) for _ in range(3)]
    started = now()
    permits[0].doubt()
    permits[0].release()
    await enter(subject)
    assert now() - started == pytest.approx(0.05)
    assert subject.is_open("small")


async def test_a_break_that_most_share_shuts_the_gate_and_says_why() -> None:
    """Two connections in three broke: the engine is called unwell, not full, by everything that speaks of it."""
    subject = gate(slots=4)
    permits = [await enter(subject) for _ in range(3)]
    for permit in permits[:2]:
        permit.doubt()
        permit.release()
    await pass_time(0.5)
    error, _ = await refused(subject, deadline=now())
    assert (error.reason, error.retry_after) == (Reason.ENGINE_UNHEALTHY, 2.0)
    assert "broke" in str(error)
    assert subject.states()[0].ready is False
    assert "broke" in subject.states()[0].detail
    await pass_time(0.5)
    assert subject.states()[0].ready is True


async def test_a_doubt_that_nobody_confirms_passes() -> None:
    """An engine that broke off once and is as well as before is asked again after a second."""
    subject = gate()
    permit = await enter(subject)
    permit.doubt()
    permit.release()
    started = now()
    await enter(subject)
    assert now() - started == pytest.approx(1.0)


async def test_an_engine_that_nobody_configured_is_not_noticed() -> None:
    """Its reports change nothing."""
    subject = gate(None)
    subject.update(change(UP, name="other"))
    assert subject.states() == [
        GateState(engine="small", slots=1, in_use=0, waiting=0, ready=False, detail="not seen yet")
    ]


async def told_to_wait(subject: Gate) -> float:
    """When a caller that finds no slot may come back."""
    error, _ = await refused(subject, deadline=now())
    assert error.retry_after is not None
    return error.retry_after


async def test_when_to_come_back_is_learnt_from_how_long_permits_are_held() -> None:
    """The usual time, times those who wait, by the slots; never less than a second nor more than a minute."""
    subject = gate()
    guesses = []
    for held_s in (0.0, *[0.0] * 60, *[30.0] * 60, *[600.0] * 30):
        permit = await enter(subject)
        guesses.append(await told_to_wait(subject))
        await pass_time(held_s)
        permit.release()
    assert guesses[0] == 2.0
    assert guesses[61] == 1.0
    assert guesses[121] == 30.0
    assert max(guesses) == guesses[-1] == 60.0


async def test_the_more_wait_the_longer_it_takes() -> None:
    """And the more slots there are, the shorter."""
    subject = gate()
    await enter(subject)
    alone = await told_to_wait(subject)
    others = [asyncio.create_task(enter(subject, alone=True)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (alone, await told_to_wait(subject)) == (2.0, 6.0)
    for task in others:
        task.cancel()
    wide = gate(slots=4)
    for _ in range(4):
        await enter(wide)
    assert await told_to_wait(wide) == 1.0


async def test_hanging_up_at_the_gate_leaves_nothing_behind() -> None:
    """A caller who is cancelled while waiting holds no place and no slot."""
    subject = gate()
    held = await enter(subject)
    task = asyncio.create_task(enter(subject, alone=True))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.release()
    held.release()
    assert subject.states() == [GateState(engine="small", slots=1, in_use=0, waiting=0, ready=True, detail="up")]


async def test_each_engine_has_its_own_slots() -> None:
    """One that is full does not keep others from being entered; the order is the configuration's."""
    subject = Gate({"small": 1, "large": 2}, SETTINGS)
    for name in ("large", "small"):
        subject.update(change(UP, name=name))
    await enter(subject)
    await subject.enter("large", applicant(alone=False))
    assert [(each.engine, each.in_use) for each in subject.states()] == [("small", 1), ("large", 1)]
