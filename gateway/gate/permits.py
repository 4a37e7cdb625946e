"""A bounded number of permits, and a bounded queue of those who wait for one."""

import asyncio
import bisect
import itertools
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from gateway.gate.choice import Ruling
from gateway.gate.eviction import Wait
from gateway.types import Priority

T = TypeVar("T")

_ASK_AGAIN_S: Final = 0.05
"""What becomes of who waits first changes with time alone, too."""


class Visit(Protocol):
    """Who comes to the queue, and decides what becomes of him as far as there are slots."""

    engine: str
    """Whose slot it is."""
    wait: Wait | None
    """His wait for a first token, where that can be ended."""

    def ask(self, ahead: int) -> Ruling:
        """What becomes of him now that so many wait before him. Who is admitted has a slot from then on."""

    def listen(self) -> None:
        """His next token is waited for."""

    def token(self, count: int = 1) -> None:
        """So many have come, and the next is not waited for yet; or a whole answer has."""

    def doubt(self) -> None:
        """The engine broke off or took no connection."""

    def leave(self) -> None:
        """He gives his slot back, whatever he did with it."""


class Permit:
    """The right to use one slot of an engine, until `release`; without a `visit` there is nobody to be told anything.

    A doubt is said before the slot is given back, to whoever waits for it.
    """

    def __init__(self, release: Callable[[], None], visit: Visit | None = None) -> None:
        self._release: Callable[[], None] | None = release
        self.engine: str | None = None if visit is None else visit.engine
        self._wait: Wait | None = None if visit is None else visit.wait
        # On the path of every token: found at once, and not by way of the visit.
        self.listen: Callable[[], None] = _nothing if visit is None else visit.listen
        self.token: Callable[[int], None] = _nothing if visit is None else visit.token
        self.doubt: Callable[[], None] = _nothing if visit is None else visit.doubt

    def within(self, step: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """What `step` brings, which is waited for until the first token. Raises Evicted if the slot is taken back."""
        return step() if self._wait is None else self._wait.within(step)

    def release(self) -> None:
        """Give the slot back; a second call does nothing."""
        if self._release is not None:
            release, self._release = self._release, None
            release()


def _nothing(_count: int = 1) -> None:
    """Nobody is to be told."""


class QueueFull(Exception):
    """So many wait already that another would only wait in vain."""


class MovedOn(Exception):
    """Somebody else answers now for those who wait here."""


class SentAway(Exception):
    """Somebody else is to answer."""


_Place = tuple[int, int, "asyncio.Future[Permit]", Visit | None]


class PermitQueue:
    """Permits for one engine. Higher priority goes first; within a priority, first come, first served.

    While it is shut nobody enters and nobody is asked, but those who wait keep their place.
    """

    def __init__(self, slots: int, max_waiting: int) -> None:
        self.slots = slots
        self.in_use = 0
        self._max_waiting = max_waiting
        self._open = False
        self._waiters: list[_Place] = []
        self._movable: set[asyncio.Future[Permit]] = set()
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    @property
    def is_open(self) -> bool:
        """Whether people are let in."""
        return self._open

    def set_open(self, *, is_open: bool) -> None:
        """Let people in, or not for now."""
        self._open = is_open
        self.look()

    def move_on(self) -> None:
        """Send those who wait and are movable elsewhere, in their order."""
        for _, _, future, _ in tuple(self._waiters) if self._movable else ():
            if future in self._movable and not future.done():
                future.set_exception(MovedOn())

    async def acquire(
        self, priority: Priority, patience: float, visit: Visit | None = None, *, movable: bool = False
    ) -> Permit:
        """A permit, within `patience` seconds. Raises TimeoutError, QueueFull or SentAway, and MovedOn where
        `movable`.
        """
        turn = (-priority, next(self._order))
        if self._open:
            ruling = self._ask(visit, self._before(turn) if self._waiters else 0)
            if ruling is Ruling.ADMIT:
                return self._grant(visit)
            if ruling is Ruling.SPILL:
                raise SentAway
        if patience <= 0:
            raise TimeoutError
        if self.waiting >= self._max_waiting:
            raise QueueFull
        return await self._wait((*turn, asyncio.get_running_loop().create_future(), visit), patience, movable=movable)

    async def _wait(self, place: _Place, patience: float, *, movable: bool) -> Permit:
        bisect.insort(self._waiters, place, key=_turn)
        future = place[2]
        if movable:
            self._movable.add(future)
        self._look_later()
        try:
            async with asyncio.timeout(patience):
                return await future
        except BaseException:
            # Granted in the same moment as the time ran out or the caller hung up: the slot must not be lost.
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().release()
            future.cancel()
            self._forget(future)
            raise
        finally:
            self._movable.discard(future)

    def look(self) -> None:
        """Something has changed: let in those whose turn it is, and send away those who are better off elsewhere."""
        if not self._waiters:
            return
        while self._open and self._waiters:
            _, _, future, visit = self._waiters[0]
            if not future.done():
                match self._ask(visit, 0):
                    case Ruling.ADMIT:
                        future.set_result(self._grant(visit))
                    case Ruling.SPILL:
                        future.set_exception(SentAway())
                    case _:
                        break
            del self._waiters[0]
        self._look_later()

    def _look_later(self) -> None:
        """Look once more soon; nobody looks while nobody waits."""
        if self._timer is None and self._open and self._waiters and self._waiters[0][3] is not None:
            self._timer = asyncio.get_running_loop().call_later(_ASK_AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self.look()

    def _ask(self, visit: Visit | None, ahead: int) -> Ruling:
        """The visit decides; without one, whose turn it is takes any slot. There are never more than the slots."""
        free = self.in_use < self.slots
        if visit is None:
            return Ruling.ADMIT if free and not ahead else Ruling.WAIT
        ruling = visit.ask(ahead)
        assert free or ruling is not Ruling.ADMIT, "a slot that is taken was given"
        return ruling

    def _before(self, turn: tuple[int, int]) -> int:
        """How many of those who wait go first."""
        place = bisect.bisect(self._waiters, turn, key=_turn)
        return sum(not future.done() for _, _, future, _ in self._waiters[:place])

    def _forget(self, left: "asyncio.Future[Permit]") -> None:
        """Who left is taken out at once: behind somebody who waits on they would pile up while the gate is shut."""
        if any(future is left for _, _, future, _ in self._waiters):
            self._waiters = [place for place in self._waiters if place[2] is not left]
            self.look()

    def _grant(self, visit: Visit | None) -> Permit:
        self.in_use += 1

        def returned() -> None:
            if visit is not None:
                visit.leave()
            self.in_use -= 1
            self.look()

        return Permit(returned, visit)


def _turn(place: _Place) -> tuple[int, int]:
    return place[0], place[1]
