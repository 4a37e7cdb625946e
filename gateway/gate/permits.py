"""A bounded number of permits, and a bounded queue of those who wait for one."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from gateway.types import Priority


class Permit:
    """The right to use one slot of an engine, until `release`."""

    def __init__(
        self, release: Callable[[], None], doubt: Callable[[], None] = lambda: None, engine: str | None = None
    ) -> None:
        """`engine` is the one whose slot it is."""
        self.engine = engine
        self._release: Callable[[], None] | None = release
        self._doubt = doubt

    def doubt(self) -> None:
        """The engine broke off or took no connection. Said before the slot is given back, to whoever waits for it."""
        self._doubt()

    def release(self) -> None:
        """Give the slot back; a second call does nothing."""
        if self._release is not None:
            release, self._release = self._release, None
            release()


_Place = tuple[int, int, "asyncio.Future[Permit]"]


class QueueFull(Exception):
    """So many wait already that another would only wait in vain."""


class MovedOn(Exception):
    """Somebody else answers now for those who wait here."""


class PermitQueue:
    """Permits for one engine. Higher priority goes first; within a priority, first come, first served.

    While it is shut nobody enters, but those who wait keep their place.
    """

    def __init__(self, slots: int, max_waiting: int) -> None:
        self.slots = slots
        self.in_use = 0
        self._max_waiting = max_waiting
        self._open = False
        self._waiters: list[_Place] = []
        self._movable: set[asyncio.Future[Permit]] = set()
        self._order = itertools.count()

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
        self._admit()

    def move_on(self) -> None:
        """Send those who wait and are movable elsewhere, in their order."""
        for _, _, future in sorted(self._waiters) if self._movable else ():
            if future in self._movable and not future.done():
                future.set_exception(MovedOn())

    async def acquire(self, priority: Priority, patience: float, *, movable: bool = False) -> Permit:
        """A permit, within `patience` seconds. Raises TimeoutError or QueueFull, and MovedOn where `movable`."""
        if self._open and self.in_use < self.slots and not self._waiters:
            return self._grant()
        if patience <= 0:
            raise TimeoutError
        if self.waiting >= self._max_waiting:
            raise QueueFull
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        place = (-priority, next(self._order), future)
        heapq.heappush(self._waiters, place)
        if movable:
            self._movable.add(future)
        self._admit()
        try:
            async with asyncio.timeout(patience):
                return await future
        except BaseException:
            # Granted in the same moment as the time ran out or the caller hung up: the slot must not be lost.
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().release()
            future.cancel()
            self._forget(place)
            raise
        finally:
            self._movable.discard(future)

    def _forget(self, place: _Place) -> None:
        """Who left is taken out at once: behind somebody who waits on they would pile up while the gate is shut."""
        if place in self._waiters:
            self._waiters.remove(place)
            heapq.heapify(self._waiters)

    def _grant(self) -> Permit:
        self.in_use += 1
        return Permit(self._returned)

    def _returned(self) -> None:
        self.in_use -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiters:
            if self._waiters[0][2].done():
                heapq.heappop(self._waiters)
            elif self._open and self.in_use < self.slots:
                heapq.heappop(self._waiters)[2].set_result(self._grant())
            else:
                return
