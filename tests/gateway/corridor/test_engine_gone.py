"""Engines that die while requests are on their way: who waits for the successor, and who is answered elsewhere."""

import asyncio

import pytest

from gateway.errors import Broken, Code, EngineGone, Reason, Unavailable
from gateway.outcome import OutcomeStatus
from gateway.types import EngineView
from tests.gateway.corridor.backends import Streamed, Whole, pieces, says
from tests.gateway.corridor.house import DOWN, UP, House, text_of
from tests.gateway.nouns import IDENTITY, REQUEST, change

GONE = Whole(EngineGone("box: its engine takes no connections"))
GOOD = says("All is well.")
BROKE = Broken("box: the stream broke")
PINNED = change(REQUEST, requested_model="box")
RESTARTING = change(DOWN, given_up=False, detail="restarting: killed by signal 9")


def later(seconds: float, house: House, view: EngineView) -> None:
    """The host will say so."""
    asyncio.get_running_loop().call_later(seconds, house.gate.update, view)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_may_go_elsewhere_does_so_at_once(*, stream: bool) -> None:
    """It was no attempt, and is told of as an engine that is unwell."""
    house = House(box=(GONE,), mini=(GOOD,))
    began = asyncio.get_running_loop().time()
    if stream:
        assert text_of(await house.stream(REQUEST)) == "All is well."
    else:
        assert (await house.answer(REQUEST))[0] == "All is well."
    assert asyncio.get_running_loop().time() == began
    assert house.tried() == [("mini", "engine_unhealthy", "answered")]
    assert [(each.backend, each.reason) for each in house.outcome.passed_over] == [("box", Reason.ENGINE_UNHEALTHY)]


@pytest.mark.parametrize("stream", [False, True])
async def test_who_has_nobody_else_waits_for_the_successor(*, stream: bool) -> None:
    """The gate is shut behind them, and opens when the host has started another."""
    house = House(box=(GONE, GOOD), mini=(GOOD,))
    later(0.2, house, RESTARTING)
    later(3.0, house, UP)
    began = asyncio.get_running_loop().time()
    if stream:
        assert text_of(await house.stream(PINNED)) == "All is well."
    else:
        assert (await house.answer(PINNED))[0] == "All is well."
    assert asyncio.get_running_loop().time() - began == pytest.approx(3.0)
    assert house.tried() == [("box", "pinned", "answered")]


async def test_nobody_waits_for_a_successor_twice() -> None:
    """When that one is gone too they are told, and when to come back."""
    house = House(box=(GONE,), mini=(GOOD,))
    with pytest.raises(Unavailable) as caught:
        await house.answer(PINNED)
    assert (caught.value.code, caught.value.status) == (Code.ENGINE_UNAVAILABLE, 503)
    assert caught.value.retry_after is not None
    assert len(house["box"].calls) == 2
    assert house.outcome.status is OutcomeStatus.REFUSED


async def test_those_in_the_queue_are_not_sent_after_the_first() -> None:
    """A stream that breaks shuts the gate before its slot is given on: all who wait are answered by the successor."""
    house = House(box=(Streamed((*pieces("Half")[:1], BROKE)), GOOD), mini=(GOOD,))
    committed = await house.broker.stream(change(PINNED, stream=True), IDENTITY)
    assert [delta.text for delta in await committed.batch()] == ["Half"]
    waiting = [asyncio.create_task(house.answer(PINNED)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await committed.batch()
    committed.close()
    later(0.2, house, RESTARTING)
    later(3.0, house, UP)
    assert [(await each)[0] for each in waiting] == ["All is well."] * 3
    assert len(house["box"].calls) == 4
    house.assert_books(4)


async def test_failures_of_the_dead_do_not_keep_callers_from_its_successor() -> None:
    """While the engine is down its breaker is not asked; who waits for the gate gets the answer."""
    house = House(box=(Whole(BROKE), Whole(BROKE), Whole(BROKE), Whole(BROKE), Whole(BROKE), GOOD), mini=(GOOD,))
    for _ in range(5):
        with pytest.raises(Unavailable):
            await house.answer(PINNED)
        house.gate.update(UP)
    house.gate.update(RESTARTING)
    asyncio.get_running_loop().call_later(2.0, house.attempts.breakers["box", "small"].forget)
    later(2.0, house, UP)
    assert (await house.answer(PINNED))[0] == "All is well."
