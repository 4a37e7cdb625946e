"""A box that would be late: who is sent elsewhere, who comes back, and who never leaves."""

import asyncio

import pytest

from gateway.errors import Broken, Reason
from gateway.gate import Learnt
from gateway.messages import Message
from gateway.types import Identity
from tests.gateway.corridor.backends import Pause, Streamed, Whole, pieces, says
from tests.gateway.corridor.house import UP, WINDOW, House, text_of
from tests.gateway.nouns import IDENTITY, REQUEST, SLA, change
from tests.gateway.virtual_time import pass_time

pytestmark = pytest.mark.parametrize("stream", [False, True])

PRO = change(IDENTITY, sla=change(SLA, ttft_s=1.0))
LONG = change(REQUEST, messages=(Message("user", "word " * 500),))
BOX, MINI = says("box"), says("mini")
STUCK = Streamed((*pieces("a"), Pause(60.0), *pieces("b")))
CUT = Whole(Broken("mini: cut"))


async def slow(mini: Whole) -> House:
    """A box that reads a hundred tokens a second, up for long."""
    house = House(box=(BOX,), mini=(mini,))
    house.gate.recall("small", Learnt(rate=100.0, reach=10_000.0, first=(1.0,) * 100))
    house.gate.update(UP)
    await pass_time(60.0)
    return house


async def answered(house: House, identity: Identity, *, stream: bool) -> str | None:
    """The text that a caller with a long prompt gets."""
    return text_of(await house.stream(LONG, identity)) if stream else (await house.answer(LONG, identity))[0]


async def test_a_box_that_would_be_late_sends_a_request_to_the_cloud(*, stream: bool) -> None:
    """At once, and the record says why; who was promised nothing stays."""
    house = await slow(MINI)
    assert await answered(house, PRO, stream=stream) == "mini"
    assert house.tried() == [("mini", "latency_objective", "answered")]
    assert [(each.backend, each.reason) for each in house.outcome.passed_over] == [("box", Reason.LATENCY_OBJECTIVE)]
    assert await answered(house, IDENTITY, stream=stream) == "box"


async def test_a_request_comes_back_when_the_cloud_has_failed(*, stream: bool) -> None:
    """Late is better than never; and once is enough."""
    house = await slow(CUT)
    assert await answered(house, PRO, stream=stream) == "box"
    assert [(each.backend, each.status.value) for each in house.outcome.attempts] == [
        ("mini", "failed"),
        ("box", "answered"),
    ]


async def test_a_cloud_that_is_left_alone_is_no_elsewhere(*, stream: bool) -> None:
    """Nobody is sent to a provider that keeps failing."""
    house = await slow(CUT)
    while house.breaker_open_s("mini") <= 0:
        await answered(house, PRO, stream=stream)
    calls = len(house["mini"].calls)
    assert await answered(house, PRO, stream=stream) == "box"
    assert len(house["mini"].calls) == calls
    assert house.ledger.outcomes[-1].passed_over == ()


async def test_what_must_stay_stays_whatever_is_foretold(*, stream: bool) -> None:
    """A tenant whose data may not leave the box waits for it, be it late."""
    house = await slow(MINI)
    assert await answered(house, change(PRO, local_only=True), stream=stream) == "box"
    assert not house["mini"].calls


async def test_an_engine_that_stands_still_is_left_until_it_says_something(*, stream: bool) -> None:
    """A stream has been waited for in vain for seconds: others go to the cloud, until a whole answer has come."""
    house = House(box=(STUCK, BOX), mini=(MINI,), slots=4)
    stuck = asyncio.create_task(house.stream(change(REQUEST, requested_model="box")))
    await pass_time(20.0)
    assert await answered(house, PRO, stream=stream) == "mini"
    assert house.ledger.outcomes[-1].passed_over[0].reason is Reason.ENGINE_UNHEALTHY
    assert (await house.answer(change(REQUEST, requested_model="box")))[0] == "box"
    await pass_time(2.0)
    reports = {report.state.engine: report for report in house.gate.reports()}
    assert reports["small"].fenced is False
    assert len(await stuck) > 1


async def test_the_time_that_an_answer_is_held_back_is_part_of_its_objective(*, stream: bool) -> None:
    """Streamed, the box has as much less; a whole answer is held back by nobody. What was written down says so."""
    house = House(box=(BOX,), mini=(MINI,))
    await answered(house, change(PRO, sla=change(SLA, ttft_s=10.0)), stream=stream)
    decision = house.gate.reports()[0].decisions[-1]
    assert decision.promised_first_s == (10.0 - WINDOW.seconds if stream else 10.0)
    assert (decision.observed_first_s is not None) == stream
