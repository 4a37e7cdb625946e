"""A deadline ends a wait in time, and takes no other end for its own."""

import asyncio

import pytest

from gateway.deadline import Alarms, Deadline
from tests.gateway.virtual_time import pass_time


def now() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


async def test_who_waits_too_long_is_told_so_in_time() -> None:
    """And the task goes on as if nobody had cancelled it."""
    until = now() + 5.0
    with pytest.raises(TimeoutError), Deadline(until) as deadline:
        await asyncio.Event().wait()
    assert deadline.expired
    assert now() == pytest.approx(until)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    await pass_time(1.0)


async def test_who_is_done_in_time_is_left_alone_afterwards() -> None:
    """The deadline passes later, and nothing happens."""
    with Deadline(now() + 5.0) as deadline:
        await pass_time(4.9)
    await pass_time(5.0)
    assert not deadline.expired


@pytest.mark.parametrize("passed", [0.0, -3.0])
async def test_a_deadline_in_the_past_ends_the_first_wait(passed: float) -> None:
    """There is no time for it."""
    with pytest.raises(TimeoutError), Deadline(now() + passed):
        await pass_time(1.0)


async def test_one_that_is_ended_ends_at_once() -> None:
    """Whoever knows that nothing will come any more says so, and may say it twice."""
    began = now()

    async def wait() -> None:
        with Deadline(began + 50.0) as deadline:
            for _ in range(2):
                asyncio.get_running_loop().call_later(1.0, deadline.end)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
    assert now() == pytest.approx(began + 1.0)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_failure_inside_stays_what_it_is() -> None:
    """It is no matter of time."""
    with pytest.raises(ValueError, match="other"), Deadline(now() + 5.0):
        raise ValueError("other")


@pytest.mark.parametrize("also_late", [False, True])
async def test_who_is_cancelled_by_somebody_else_is_cancelled(also_late: bool) -> None:  # noqa: FBT001 - one of two
    """Also where the time is up in the same moment."""
    deadlines: list[Deadline] = []

    async def wait() -> None:
        with Deadline(now() + 5.0) as deadline:
            deadlines.append(deadline)
            await asyncio.Event().wait()

    waits = asyncio.create_task(wait())
    await pass_time(1.0)
    if also_late:
        deadlines[0].end()
    asyncio.get_running_loop().call_soon(waits.cancel)
    await asyncio.wait([waits])
    assert deadlines[0].expired is also_late
    assert waits.cancelled()


async def test_the_innermost_that_is_up_is_meant() -> None:
    """One around it has time left, and is not taken for it."""
    with Deadline(now() + 9.0) as outer:
        with pytest.raises(TimeoutError), Deadline(now() + 5.0):
            await asyncio.Event().wait()
        await pass_time(1.0)
    assert not outer.expired


async def test_each_of_many_is_up_in_its_own_time() -> None:
    """Though one timer is set for all of them, and whoever comes later may be due sooner."""
    alarms, began = Alarms(), now()
    up: dict[float, float] = {}

    async def wait(seconds: float) -> None:
        with pytest.raises(TimeoutError), Deadline(began + seconds, alarms):
            await asyncio.Event().wait()
        up[seconds] = now() - began

    lengths = [5.0, 3.0, 9.0, 3.0, 7.0]
    await asyncio.gather(*map(wait, lengths))
    assert list(up) == [3.0, 5.0, 7.0, 9.0]
    assert list(up.values()) == pytest.approx(list(up))


async def test_the_first_of_many_is_over_and_the_others_are_up_in_time() -> None:
    """The timer was set for it alone."""
    alarms, until = Alarms(), now() + 5.0
    with Deadline(now() + 1.0, alarms) as first:
        pass
    with pytest.raises(TimeoutError), Deadline(until, alarms):
        await asyncio.Event().wait()
    assert now() == pytest.approx(until)
    assert not first.expired


async def test_who_leaves_when_his_time_is_ended_is_left_alone() -> None:
    """He was done before he could be told."""
    with Deadline(now() + 5.0) as deadline:
        deadline.end()
    await pass_time(1.0)
    assert not deadline.expired
