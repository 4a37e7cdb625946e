"""A box that would be late: who is sent elsewhere, who comes back, and who never leaves."""

import pytest

from gateway.errors import Broken, Reason
from gateway.gate import Learnt
from gateway.messages import Message
from gateway.types import Identity
from tests.gateway.corridor.backends import Whole, says
from tests.gateway.corridor.house import UP, House, text_of
from tests.gateway.nouns import IDENTITY, REQUEST, SLA, change
from tests.gateway.virtual_time import pass_time

pytestmark = pytest.mark.parametrize("stream", [False, True])

PRO = change(IDENTITY, sla=change(SLA, ttft_s=1.0))
LONG = change(REQUEST, messages=(Message("user", "word " * 500),))
BOX, MINI = says("box"), says("mini")
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
