"""A standstill is told from overload, and who has got nothing yet is taken back: how soon, who, and how many."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from gateway.errors import Evicted
from gateway.gate import Ask, Elsewhere, Gate, GateSettings, Learnt
from gateway.gate.engine import NOTHING, EngineGate
from gateway.gate.eviction import Allowance, Wait
from gateway.gate.permits import Permit
from gateway.types import EngineView
from tests.gateway.applicants import applicant
from tests.gateway.virtual_time import pass_time

SETTINGS = GateSettings(max_wait_s=2.0, max_wait_alone_s=20.0, max_waiting=3)
UP = EngineView(name="small", ready=True, given_up=False, url="http://e", detail="up")
SLOTS = 8
KNOWN = Learnt(rate=200.0, beside=1.0, first=(1.0,) * 100)


def engine(learnt: Learnt = KNOWN) -> EngineGate:
    """That of an engine that reads 200 tokens a second, and has been up for long."""
    found = EngineGate(SLOTS, learnt)
    found.health.heard(0.0, ready=True)
    return found


def sent(one: EngineGate, number: int, prompt: int, at: float, *, streamed: bool = True) -> None:
    """A request is on its way."""
    ask = Ask(prompt=prompt, arrived_at=at, first_s=None, gap_s=None, streamed=streamed)
    one.send(number, ask, one.decide(ask, Elsewhere(1_000_000), 0.5, at), at)


def silent(one: EngineGate) -> None:
    """A prompt of a tenth of a second, and nothing comes."""
    sent(one, 0, 20, 100.0)


def silent_after_quick_ones(one: EngineGate) -> None:
    """The same, of an engine that has read such a prompt in a hundredth of a second."""
    sent(one, 1, 20, 50.0)
    one.token(1, 50.01)
    one.end(1, 50.01)
    silent(one)


def long_prompt(one: EngineGate) -> None:
    """One of two seconds."""
    sent(one, 0, 400, 100.0)


def many_prompts(one: EngineGate) -> None:
    """Four of half a second each."""
    for number in range(4):
        sent(one, number, 100, 100.0)


def overloaded(one: EngineGate) -> None:
    """Ten seconds of prompts, of which every stream gets a token a second."""
    for number in range(SLOTS):
        sent(one, number, 250, 100.0)
    for second in range(8):
        one.token(0, 100.5 + second)


def stopped_amid_answers(one: EngineGate) -> None:
    """A stream has tokens until the engine stops, and another request comes after that."""
    sent(one, 0, 20, 100.0)
    one.token(0, 100.2)
    one.flight.token(0, 100.2).listening_since = 100.2
    sent(one, 1, 20, 100.5)


def all_have_begun(one: EngineGate) -> None:
    """Nobody is left who waits for a first token."""
    sent(one, 0, 20, 100.0)
    one.token(0, 100.1)


def behind_a_slow_client(one: EngineGate) -> None:
    """The only stream has a client that takes nothing for half a minute, and somebody comes."""
    sent(one, 0, 20, 100.0)
    one.token(0, 100.1)
    one.flight.rest(one.flight.token(0, 100.1), 100.1)
    sent(one, 1, 20, 130.0)


def beside_a_long_answer(one: EngineGate) -> None:
    """A whole answer has been under way for half a minute, and somebody comes."""
    sent(one, 0, 20, 100.0, streamed=False)
    sent(one, 1, 20, 130.0)


def whole_answer(one: EngineGate) -> None:
    """Its tokens are not told: that nothing comes says nothing."""
    sent(one, 0, 20, 100.0, streamed=False)


@pytest.mark.parametrize(
    ("under_way", "learnt", "no_longer_at", "from_then_on"),
    [
        (silent, KNOWN, 101.0, 101.1),
        (long_prompt, KNOWN, 105.9, 106.1),
        (many_prompts, KNOWN, 105.9, 106.1),
        (long_prompt, Learnt(rate=200.0, first=(1.0,) * 99 + (6.0,)), 111.9, 112.1),
        (stopped_amid_answers, KNOWN, 101.2, 101.4),
        (overloaded, KNOWN, 110.0, None),
        (behind_a_slow_client, KNOWN, 130.9, None),
        (beside_a_long_answer, KNOWN, 130.9, 131.1),
        (all_have_begun, KNOWN, 160.0, None),
        (whole_answer, KNOWN, 160.0, None),
        (silent, Learnt(rate=200.0, reach=1.0), 160.0, None),
        (silent_after_quick_ones, NOTHING, 101.0, 101.1),
    ],
)
def test_a_standstill_is_silence_that_no_forecast_explains(
    under_way: Callable[[EngineGate], None], learnt: Learnt, no_longer_at: float, from_then_on: float | None
) -> None:
    """Three times what all prompts should take, or as often as forecasts have been wrong by, and a second at least;
    never while tokens come, nor where nobody would be taken back or sizes are guessed.
    """
    one = engine(learnt)
    under_way(one)
    found = [one.stands_still(at) for at in (no_longer_at, from_then_on) if at is not None]
    assert found == [False, True][: len(found)]


def spent_after(one: Allowance, requests: int) -> int:
    """How many may be evicted after so many more were sent."""
    for _ in range(requests):
        one.earn()
    spent = 0
    while not one.exhausted:
        one.spend()
        spent += 1
    return spent


def test_the_allowance_is_a_full_engine_and_one_in_twenty() -> None:
    """It grows with what is sent, and never beyond what an engine holds."""
    one = Allowance(2)
    assert [spent_after(one, requests) for requests in (0, 10, 15, 1_000)] == [2, 0, 1, 2]


def gate() -> Gate:
    """In front of such an engine."""
    found = Gate({"small": SLOTS}, SETTINGS)
    found.recall("small", KNOWN)
    found.update(UP)
    return found


async def enter(subject: Gate, *, leaves: bool = True) -> Permit:
    """Somebody who goes elsewhere when he is taken back, if he `leaves`."""
    return await subject.enter("small", applicant(alone=False, leaves=lambda: leaves))


async def waits(permit: Permit, seconds: float = 600.0) -> float:
    """Wait for a first token, and give the slot back; after how many seconds nothing came of it."""
    began = asyncio.get_running_loop().time()
    with suppress(Evicted):
        await permit.within(lambda: asyncio.sleep(seconds))
    permit.release()
    return asyncio.get_running_loop().time() - began


async def test_nobody_has_to_come_for_a_standstill_to_be_noticed() -> None:
    """All who wait go, within a second and a half; the gate is fenced, and everybody can see why."""
    subject = gate()
    permits = [await enter(subject) for _ in range(3)]
    took = await asyncio.gather(*map(waits, permits))
    assert all(1.0 < each <= 1.5 for each in took)
    (report,) = subject.reports()
    assert (report.counts["evict"], report.fenced, report.state.in_use) == (3, True, 0)
    assert [each.outcome for each in report.decisions[-3:]] == ["evict"] * 3
    assert report.decisions[-1].ceiling == 0


async def test_whoever_watches_the_engine_still_counts_who_was_taken_back() -> None:
    """Or nobody would wait for it any more, and vLLM, whose gauges say that nothing runs, would seem to rest."""
    subject = gate()
    permits = [await enter(subject) for _ in range(3)]
    assert subject.unanswered() == {"small": 3}
    await asyncio.gather(*map(waits, permits))
    assert (subject.reports()[0].state.in_use, subject.unanswered()) == (0, {"small": 1})
    await pass_time(60.0)
    assert subject.unanswered() == {}, "by then it is known"


async def test_who_has_begun_or_has_nobody_else_stays() -> None:
    """A token has come of the first; the second would find nobody; only the third is taken back."""
    subject = gate()
    begun, lonely, free = await enter(subject), await enter(subject, leaves=False), await enter(subject)
    begun.token(1)
    begun.listen()
    assert await asyncio.gather(*(waits(each, 9.0) for each in (begun, lonely, free))) == [9.0, 9.0, 1.5]


async def test_a_look_that_comes_late_is_not_believed() -> None:
    """Tokens that have come while the gateway itself stood still are read before the second look."""
    subject, loop = gate(), asyncio.get_running_loop()
    permit = await enter(subject)
    waiting = asyncio.create_task(waits(permit, 30.0))
    # The look at 1.25 s suspects; what is read after it clears that.
    loop.call_later(1.3, permit.token, 1)
    loop.call_later(1.3, permit.listen)
    assert await waiting == 30.0
    assert "evict" not in subject.reports()[0].counts


async def test_one_stays_to_find_out_whether_it_gets_on() -> None:
    """Who is let in while it stands still is left there, and its token opens the gate for others."""
    subject = gate()
    await waits(await enter(subject))
    await pass_time(2.0)
    scout = await enter(subject)
    asyncio.get_running_loop().call_later(20.0, scout.token, 1)
    assert await waits(scout, 25.0) == 25.0
    assert not subject.reports()[0].fenced
    await enter(subject)


async def test_no_more_are_taken_back_than_may_be() -> None:
    """A standstill after the other: as many as there are slots, and then one in twenty."""
    subject = gate()
    evicted = 0
    for _ in range(40):
        permit = await enter(subject)
        evicted += await waits(permit, 10.0) < 10.0
        # It gets on, so that the next is no scout.
        subject.heard()
        await pass_time(2.0)
        scout = await enter(subject)
        scout.token(1)
        scout.release()
    assert SLOTS <= evicted <= SLOTS + 0.05 * 2 * 40
    assert await waits(await enter(subject), 10.0) == 10.0
    assert not subject.reports()[0].fenced, "it may be slow and no more, which its first token is to tell"


async def test_who_hangs_up_in_the_same_moment_has_hung_up() -> None:
    """His task is cancelled, as he wanted."""
    wait = Wait("small")
    waiting = asyncio.create_task(wait.within(asyncio.Event().wait))
    await pass_time(1.0)
    wait.end()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_a_wait_is_ended_once() -> None:
    """And not where nobody waits."""
    wait = Wait("small")
    found = [wait.under_way]
    waiting = asyncio.create_task(wait.within(asyncio.Event().wait))
    await pass_time(1.0)
    found.append(wait.under_way)
    wait.end()
    found.append(wait.under_way)
    with pytest.raises(Evicted):
        await waiting
    assert found == [False, True, False]
