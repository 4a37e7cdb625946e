"""The gate with its forecasts: who is sent elsewhere for what, and what it hears of those who are inside."""

import asyncio

import pytest

from gateway.errors import Reason, Rejected
from gateway.gate import Gate, GateSettings
from gateway.gate.permits import Permit
from gateway.types import EngineView, Priority
from tests.gateway.applicants import applicant
from tests.gateway.nouns import SLA, change
from tests.gateway.virtual_time import pass_time

SETTINGS = GateSettings(max_wait_s=2.0, max_wait_alone_s=20.0, max_waiting=8)
UP = EngineView(name="small", ready=True, given_up=False, url="http://e", detail="up")
PRO = change(SLA, ttft_s=1.0)
BATCH = change(SLA, priority=Priority.BATCH)
VIP = change(SLA, priority=Priority.INTERACTIVE, ttft_s=4.0)


async def up(slots: int = 4, settings: GateSettings = SETTINGS) -> Gate:
    """A gate in front of an engine that has been up for long."""
    gate = Gate({"small": slots}, settings)
    gate.update(UP)
    await pass_time(100.0)
    return gate


async def answered(gate: Gate, prompt: int, first_s: float) -> None:
    """A streamed answer whose first token took so long."""
    permit = await gate.enter("small", applicant(prompt=prompt))
    await pass_time(first_s)
    permit.token(1)
    permit.listen()
    permit.token(1)
    permit.release()


async def rejected(gate: Gate, **how: int) -> Rejected:
    """Somebody of a class with an objective, who may go elsewhere and does."""
    with pytest.raises(Rejected) as caught:
        await gate.enter("small", applicant(PRO, alone=False, **how))
    return caught.value


def now() -> float:
    """The time on the loop's clock."""
    return asyncio.get_running_loop().time()


async def test_who_would_be_late_here_is_sent_elsewhere_at_once() -> None:
    """A hundred tokens take a second: three hundred would break the promise, whatever slots are free."""
    gate = await up()
    await answered(gate, 100, 1.0)
    began = now()
    error = await rejected(gate, prompt=300)
    assert (error.reason, error.retry_after, now()) == (Reason.LATENCY_OBJECTIVE, 3.0, began)
    assert "first token is expected after 3.0 s" in str(error)
    (await gate.enter("small", applicant(PRO, alone=False, prompt=30))).release()


async def test_late_is_better_than_never() -> None:
    """Who may go nowhere else, or was promised nothing, is let in whatever is foretold."""
    gate = await up()
    await answered(gate, 100, 1.0)
    for who in (applicant(PRO, prompt=300), applicant(SLA, alone=False, prompt=300)):
        began = now()
        (await gate.enter("small", who)).release()
        assert now() == began


async def test_nobody_is_sent_away_by_a_guess() -> None:
    """An engine that was never seen at work, or a prompt longer than four times all that were: in they go."""
    gate = await up()
    began = now()
    for prompt, seen, first_s in ((100_000, 100, 1.0), (100_000, 100_000, 1.0), (10_000, None, None)):
        (await gate.enter("small", applicant(PRO, alone=False, prompt=prompt))).release()
        if seen is not None and first_s is not None:
            await answered(gate, seen, first_s)
    assert now() == began + 2.0
    assert (await rejected(gate, prompt=350_000)).reason is Reason.LATENCY_OBJECTIVE


async def test_an_engine_that_stands_still_is_for_those_who_have_nobody_else() -> None:
    """A second without a token of anybody; the next token opens the gate again."""
    gate = await up()
    await answered(gate, 100, 0.1)
    permit = await gate.enter("small", applicant())
    permit.token(1)
    permit.listen()
    await pass_time(0.9)
    (await gate.enter("small", applicant(PRO, alone=False))).release()
    await pass_time(1.5)
    error = await rejected(gate)
    assert error.reason is Reason.ENGINE_UNHEALTHY
    assert "stands still" in str(error)
    alone = await gate.enter("small", applicant(PRO))
    permit.token(1)
    alone.release()
    (await gate.enter("small", applicant(PRO, alone=False))).release()


async def test_a_client_that_does_not_read_is_no_standstill() -> None:
    """Its engine may have said a lot meanwhile; when it reads again, its time begins anew."""
    gate = await up()
    permit = await gate.enter("small", applicant())
    permit.token(1)
    await pass_time(60.0)
    (await gate.enter("small", applicant(PRO, alone=False))).release()
    permit.listen()
    await pass_time(0.5)
    began = now()
    (await gate.enter("small", applicant(PRO, alone=False))).release()
    assert now() == began


async def test_whole_answers_are_no_standstill() -> None:
    """Nobody sees their tokens come; and they are no backlog once they should have begun."""
    gate = await up()
    await answered(gate, 100, 1.0)
    whole = applicant(prompt=90)
    ask = change(whole.ask, streamed=False)
    permit = await gate.enter("small", change(whole, ask=ask))
    assert (await rejected(gate, prompt=30)).reason is Reason.LATENCY_OBJECTIVE
    await pass_time(30.0)
    before = gate.reports()[0]
    for _ in range(2):  # the first one could be to find out whether the forecasts still hold
        (await gate.enter("small", applicant(PRO, alone=False, prompt=30))).release()
    permit.token(1)
    permit.release()
    after = gate.reports()[0]
    assert (after.prompt_rate, after.reach, after.state.in_use) == (before.prompt_rate, before.reach, 0)


async def test_who_waits_is_asked_again_when_a_prompt_has_been_read() -> None:
    """A batch has part of the time that a higher class allows; the first token of what is before it makes room."""
    gate = await up()
    await answered(gate, 100, 1.0)
    first = await gate.enter("small", applicant(VIP, prompt=250))
    waiting = asyncio.create_task(gate.enter("small", applicant(BATCH, prompt=60)))
    await pass_time(0.2)
    assert not waiting.done()
    first.token(1)
    began = now()
    (await waiting).release()
    assert now() == began
    first.release()


async def test_a_full_engine_is_not_waited_for_in_vain() -> None:
    """Slots are held for half a minute: who may wait a quarter of a second goes elsewhere at once."""
    gate = await up(slots=1)
    permits: list[Permit] = []
    for _ in range(30):
        permits.append(await gate.enter("small", applicant()))
        await pass_time(30.0)
        permits[-1].release()
    held = await gate.enter("small", applicant())
    began = now()
    error = await rejected(gate)
    assert (error.reason, now()) == (Reason.NO_CAPACITY, began)
    assert error.retry_after is not None
    assert error.retry_after > 20
    held.release()


async def test_silence_of_whoever_watches_takes_trust_away() -> None:
    """Once it has spoken each second, it has to go on: half of the slots after five seconds, none after fifteen."""
    gate = await up()
    gate.heard()
    held = [await gate.enter("small", applicant(PRO, alone=False)) for _ in range(2)]
    for permit in held:
        permit.token(1)
    await pass_time(6.0)
    assert (await rejected(gate)).reason is Reason.NO_CAPACITY
    gate.heard()
    (await gate.enter("small", applicant(PRO, alone=False))).release()
    for permit in held:
        permit.release()
    await pass_time(16.0)
    with pytest.raises(Rejected):
        await gate.enter("small", applicant(PRO, alone=False))


async def test_nothing_is_learnt_from_those_whom_a_dying_engine_takes_along() -> None:
    """Their promises are broken, but not by a forecast."""
    gate = await up()
    permits = [await gate.enter("small", applicant(PRO)) for _ in range(3)]
    for permit in permits:
        permit.doubt()
    await pass_time(2.0)
    for permit in permits:
        permit.release()
    assert gate.reports()[0].strictness == 1.0


async def test_batch_work_is_nothing_to_the_urgent_where_the_engine_serves_them_first() -> None:
    """A prompt of two and a half seconds stands before a class above it at any other engine."""
    for by_priority in (frozenset[str](), frozenset({"small"})):
        gate = await up(settings=change(SETTINGS, by_priority=by_priority))
        await answered(gate, 100, 1.0)
        batch = await gate.enter("small", applicant(BATCH, prompt=250))
        if by_priority:
            (await gate.enter("small", applicant(PRO, alone=False, prompt=30))).release()
        else:
            assert (await rejected(gate, prompt=30)).reason is Reason.LATENCY_OBJECTIVE
        batch.release()
