"""Time in which this process stood still counts for nobody."""

import asyncio

import pytest

from gateway.awake import AwakeClock
from gateway.deadline import Alarms, Deadline
from tests.gateway.virtual_time import pass_time, stand_still


@pytest.mark.parametrize("asked_at_once", [False, True])
async def test_the_clock_leaves_it_out_and_says_so(asked_at_once: bool) -> None:  # noqa: FBT001 - one of two
    """As soon as anybody asks for the time, and at the next beat at the latest; the beats go on."""
    told: list[float] = []
    clock = AwakeClock(told.append)
    clock.begin()
    began = clock.time()
    await pass_time(3.2)
    stand_still(35.0)
    if asked_at_once:
        assert clock.time() - began == pytest.approx(3.2, abs=0.5)
    await pass_time(1.0)
    assert clock.time() - began == pytest.approx(4.2, abs=0.5)
    stand_still(10.0)
    await pass_time(1.0)
    clock.end()
    assert told == pytest.approx([35.0, 10.0], abs=0.5)
    assert clock.time() - began == pytest.approx(5.2, abs=1.0)


async def test_a_busy_process_loses_nothing() -> None:
    """It comes a little late each time, and the time has passed for everybody."""
    clock = AwakeClock()
    clock.begin()
    began = clock.time()
    for _ in range(20):
        stand_still(0.4)
        await pass_time(0.5)
    clock.end()
    assert clock.lost_s == 0.0
    assert clock.time() - began == pytest.approx(18.0)


async def test_one_that_does_not_beat_is_the_loops() -> None:
    """Before it begins and after it has ended."""
    clock = AwakeClock()
    stand_still(35.0)
    clock.begin()
    await pass_time(1.0)
    clock.end()
    stand_still(35.0)
    assert (clock.lost_s, clock.time()) == (0.0, asyncio.get_running_loop().time())


async def test_deadlines_are_put_off_by_it() -> None:
    """One of five seconds is up after five in which somebody could have answered; one that is set later as well."""
    clock = AwakeClock()
    alarms = Alarms(clock)
    clock.begin()
    began = clock.time()
    asyncio.get_running_loop().call_later(2.0, stand_still, 35.0)
    with pytest.raises(TimeoutError), Deadline(began + 5.0, alarms):
        await asyncio.Event().wait()
    assert clock.time() - began == pytest.approx(5.0)
    assert clock.lost_s == pytest.approx(35.0, abs=0.5)
    with pytest.raises(TimeoutError), Deadline(clock.time() + 5.0, alarms):
        await asyncio.Event().wait()
    assert clock.time() - began == pytest.approx(10.0)
    clock.end()


async def test_what_came_meanwhile_is_read_before_it_would_be_late() -> None:
    """Somebody answered in time, and we were not there."""
    clock, come = AwakeClock(), asyncio.Event()
    clock.begin()
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, stand_still, 35.0)
    loop.call_later(3.0, come.set)
    with Deadline(clock.time() + 2.0, Alarms(clock)) as deadline:
        await come.wait()
    clock.end()
    assert not deadline.expired
