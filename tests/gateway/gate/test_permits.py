"""A bounded number of permits and a bounded queue: nobody is lost, nothing is leaked, the order is kept."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from gateway.gate.choice import Ruling
from gateway.gate.eviction import Wait
from gateway.gate.permits import Permit, PermitQueue, QueueFull, SentAway
from gateway.types import Priority
from tests.gateway.virtual_time import pass_time

T = TypeVar("T")
PATIENCE_S = 5.0
LOW, USUAL, HIGH = Priority.BATCH, Priority.NORMAL, Priority.INTERACTIVE


def opened(slots: int = 1, max_waiting: int = 10) -> PermitQueue:
    """A queue that lets people in."""
    queue = PermitQueue(slots, max_waiting)
    queue.set_open(is_open=True)
    return queue


async def soon(awaited: Awaitable[T]) -> T:
    """What comes of it, within a bound."""
    async with asyncio.timeout(PATIENCE_S):
        return await awaited


async def settle() -> None:
    """Let every task run until it waits for something that has not happened."""
    for _ in range(10):
        await asyncio.sleep(0)


async def entering(queue: PermitQueue, *priorities: Priority) -> list[asyncio.Task[Permit]]:
    """Tasks that wait for a permit, in this order."""
    tasks = []
    for priority in priorities:
        tasks.append(asyncio.create_task(queue.acquire(priority, PATIENCE_S)))
        await settle()
    return tasks


async def test_permits_up_to_the_slots() -> None:
    """As many as there are slots enter at once; the next one waits until a permit is given back."""
    queue = opened(slots=2)
    first, _ = [await soon(queue.acquire(USUAL, 0.0)) for _ in range(2)]
    (third,) = await entering(queue, USUAL)
    assert (queue.in_use, queue.waiting, third.done()) == (2, 1, False)
    first.release()
    await soon(third)
    assert (queue.in_use, queue.waiting) == (2, 0)


async def test_a_permit_given_back_twice_counts_once() -> None:
    """Cleaning up on two paths must not make a slot out of nothing."""
    queue = opened()
    permit = await soon(queue.acquire(USUAL, 0.0))
    permit.release()
    permit.release()
    assert queue.in_use == 0
    await soon(queue.acquire(USUAL, 0.0))
    assert queue.in_use == 1
    permit.release()
    assert queue.in_use == 1


async def test_priority_first_and_within_it_who_came_first() -> None:
    """The order of entry is by class, then by arrival."""
    queue = opened()
    held = await soon(queue.acquire(USUAL, 0.0))
    tasks = await entering(queue, LOW, USUAL, HIGH, LOW, USUAL, HIGH)
    order: list[int] = []
    for _ in tasks:
        held.release()
        await settle()
        entered = next(number for number, task in enumerate(tasks) if task.done() and number not in order)
        order.append(entered)
        held = tasks[entered].result()
    assert order == [2, 5, 1, 4, 0, 3]


async def test_who_comes_later_does_not_overtake() -> None:
    """A slot that is free for a moment goes to those who wait, not to who asks just then."""
    queue = opened()
    held = await soon(queue.acquire(USUAL, 0.0))
    (waiting,) = await entering(queue, LOW)
    held.release()
    late = asyncio.create_task(queue.acquire(HIGH, PATIENCE_S))
    await settle()
    assert waiting.done()
    assert not late.done()
    waiting.result().release()
    await soon(late)


async def test_without_patience_nobody_waits() -> None:
    """Zero seconds and less are an answer at once."""
    queue = opened()
    await soon(queue.acquire(USUAL, 0.0))
    for patience in (0.0, -1.0):
        with pytest.raises(TimeoutError):
            await soon(queue.acquire(HIGH, patience))
    assert (queue.in_use, queue.waiting) == (1, 0)


async def test_patience_ends() -> None:
    """Who waited long enough leaves the queue and takes nothing along."""
    queue = opened()
    held = await soon(queue.acquire(USUAL, 0.0))
    with pytest.raises(TimeoutError):
        await soon(queue.acquire(USUAL, 0.001))
    assert queue.waiting == 0
    held.release()
    assert queue.in_use == 0


async def test_the_queue_is_bounded() -> None:
    """One more than may wait is turned away at once, whatever its class; room is made by entering or leaving."""
    queue = opened(max_waiting=2)
    held = await soon(queue.acquire(USUAL, 0.0))
    tasks = await entering(queue, LOW, LOW)
    with pytest.raises(QueueFull):
        await soon(queue.acquire(HIGH, PATIENCE_S))
    tasks[0].cancel()
    await settle()
    (third,) = await entering(queue, LOW)
    assert queue.waiting == 2
    held.release()
    await soon(tasks[1])
    assert (queue.waiting, third.done()) == (1, False)


async def test_with_no_room_to_wait_only_free_slots_count() -> None:
    """A queue of length 0 still lets in whoever finds a slot free."""
    queue = opened(max_waiting=0)
    held = await soon(queue.acquire(USUAL, PATIENCE_S))
    with pytest.raises(QueueFull):
        await soon(queue.acquire(USUAL, PATIENCE_S))
    held.release()
    await soon(queue.acquire(USUAL, PATIENCE_S))


async def test_shut_is_shut_until_it_opens() -> None:
    """Nobody enters while the engine is down; those who wait keep their place and enter when it is back."""
    queue = PermitQueue(2, 10)
    tasks = await entering(queue, LOW, HIGH, USUAL)
    assert (queue.in_use, queue.waiting) == (0, 3)
    queue.set_open(is_open=True)
    await settle()
    assert [task.done() for task in tasks] == [False, True, True]
    queue.set_open(is_open=False)
    tasks[1].result().release()
    await settle()
    assert (queue.in_use, tasks[0].done()) == (1, False)
    queue.set_open(is_open=True)
    await soon(tasks[0])


async def test_a_full_queue_in_front_of_a_shut_gate() -> None:
    """Those who left are not counted among those who wait."""
    queue = PermitQueue(1, 1)
    (gone,) = await entering(queue, USUAL)
    gone.cancel()
    await settle()
    (stays,) = await entering(queue, USUAL)
    assert queue.waiting == 1
    queue.set_open(is_open=True)
    await soon(stays)


async def test_hanging_up_while_waiting_leaves_nothing_behind() -> None:
    """The place in the queue is given up, and the next one enters."""
    queue = opened()
    held = await soon(queue.acquire(USUAL, 0.0))
    first, second = await entering(queue, HIGH, LOW)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(first)
    held.release()
    (await soon(second)).release()
    assert (queue.in_use, queue.waiting) == (0, 0)


async def test_a_permit_granted_as_the_caller_hangs_up_is_not_lost() -> None:
    """Cancelled in the very moment of the grant: the slot goes to the next one."""
    queue = opened()
    held = await soon(queue.acquire(USUAL, 0.0))
    first, second = await entering(queue, USUAL, USUAL)
    held.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(first)
    (await soon(second)).release()
    assert queue.in_use == 0


async def test_those_who_left_are_forgotten_however_long_the_gate_is_shut() -> None:
    """Behind somebody of higher class who waits on, the others come and go without leaving anything behind."""
    queue = PermitQueue(1, 2)
    (stays,) = await entering(queue, HIGH)
    for _ in range(50):
        (task,) = await entering(queue, LOW)
        task.cancel()
        await settle()
    assert queue.waiting == 1
    stays.cancel()
    await settle()
    assert queue.waiting == 0


@pytest.mark.parametrize("gone", range(8))
async def test_leaving_does_not_disturb_the_order(gone: int) -> None:
    """Whoever leaves from the middle of the queue, the others enter by class and arrival."""
    priorities = [LOW, HIGH, USUAL, LOW, HIGH, USUAL, LOW, HIGH]
    queue = PermitQueue(1, 10)
    tasks = await entering(queue, *priorities)
    tasks[gone].cancel()
    await settle()
    queue.set_open(is_open=True)
    order: list[int] = []
    for _ in range(7):
        await settle()
        (entered,) = [number for number, task in enumerate(tasks) if task.done() and number not in (gone, *order)]
        order.append(entered)
        tasks[entered].result().release()
    assert order == [number for number in (1, 4, 7, 2, 5, 0, 3, 6) if number != gone]


class Counting:
    """A visit that waits until it is told otherwise, and counts how often it is asked."""

    def __init__(self, ruling: Ruling = Ruling.WAIT) -> None:
        self.engine = "small"
        self.wait: Wait | None = None
        self.ruling = ruling
        self.asked: list[int] = []
        self.left = 0

    def ask(self, ahead: int) -> Ruling:
        """What the test says."""
        self.asked.append(ahead)
        return self.ruling

    def listen(self) -> None:
        """Nobody hears it."""

    def token(self, count: int = 1) -> None:
        """Nobody hears it."""

    def doubt(self) -> None:
        """Nobody hears it."""

    def leave(self) -> None:
        """Take note."""
        self.left += 1


async def test_who_waits_first_is_asked_as_time_passes_and_nobody_else_is() -> None:
    """Twenty times a second while somebody waits; whoever is behind was asked once; then there is silence."""
    queue = opened()
    first, second = Counting(), Counting()
    tasks = [asyncio.create_task(queue.acquire(USUAL, 100.0, visit)) for visit in (first, second)]
    await settle()
    assert (first.asked, second.asked) == ([0], [1])
    await pass_time(1.01)
    assert (len(first.asked), second.asked) == (21, [1])
    first.ruling = Ruling.ADMIT
    permit = await tasks[0]
    second.ruling = Ruling.SPILL
    with pytest.raises(SentAway):
        await tasks[1]
    asked = len(first.asked)
    await pass_time(1.0)
    assert len(first.asked) == asked
    permit.release()
    assert (first.left, second.left, queue.in_use) == (1, 0, 0)


async def test_who_would_wait_in_vain_is_sent_away_when_he_comes() -> None:
    """Also behind others."""
    queue = opened()
    with pytest.raises(SentAway):
        await queue.acquire(USUAL, 5.0, Counting(Ruling.SPILL))
    waiting = asyncio.create_task(queue.acquire(USUAL, 5.0, Counting()))
    await settle()
    behind = Counting(Ruling.SPILL)
    with pytest.raises(SentAway):
        await queue.acquire(USUAL, 5.0, behind)
    assert behind.asked == [1]
    with pytest.raises(TimeoutError):
        await waiting
    assert queue.waiting == 0
