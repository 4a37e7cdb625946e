"""Taking requests back from an engine that stands still, before whoever watches it has found that out.

It is the late hedge of the reference (gate.md §6.5): who has got nothing yet, and may be answered elsewhere, is given
up here and asked for there. Never both at once: an engine that gets on after all finds that its caller has hung up, so
nothing can be answered twice.

    sent ──► nobody gets a token ──► nor by the next look ──► evicted ──► the next backend's
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from gateway.errors import Evicted
from gateway.gate.engine import EngineGate

T = TypeVar("T")

_LOOK_S: Final = 0.25
"""Two looks after a second of silence are within the second and a half in which a standstill is to be known."""
_SHARE: Final = 0.05
"""Of the requests that are sent as many may be evicted (gate.md §6.5): a standstill that is none must not cost more."""


class Wait:
    """Somebody's wait for the first token of engine `name`, which can be ended. One task waits at a time.

    It is what `asyncio.timeout` does, at a fifth of the price: every request passes here.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[Any] | None = None
        self._ended = False

    async def within(self, step: Callable[[], Awaitable[T]]) -> T:
        """What `step` brings. Raises Evicted if the wait is ended before."""
        task = self._task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            return await step()
        except asyncio.CancelledError as cancelled:
            # Unless the caller hung up in the same moment.
            if self._ended and task.uncancel() <= before:
                raise Evicted(f"engine {self._name}: it stands still, and nothing had come yet") from cancelled
            raise
        finally:
            self._task = None

    @property
    def under_way(self) -> bool:
        """Whether somebody waits."""
        return self._task is not None and not self._ended

    def end(self) -> None:
        """End it, which must be under way."""
        assert self._task is not None
        self._ended = True
        self._task.cancel()


class Allowance:
    """How many may be evicted: as many as an engine holds, and after those one in twenty of the requests it is sent."""

    def __init__(self, slots: int) -> None:
        self._most = self._left = float(slots)

    def earn(self) -> None:
        """A request was sent."""
        self._left = min(self._most, self._left + _SHARE)

    @property
    def exhausted(self) -> bool:
        """Whether nobody may be evicted at present."""
        return self._left < 1.0

    def spend(self) -> None:
        """One was evicted."""
        self._left -= 1.0


class Evictions:
    """Those of one engine, whose gate this is. Looks after requests while some may be answered elsewhere."""

    def __init__(self, gate: EngineGate, slots: int) -> None:
        self._gate = gate
        self._allowance = Allowance(slots)
        self._movable: dict[int, Callable[[], bool]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._suspected = False

    def sent(self, number: int, evict: Callable[[], bool] | None) -> None:
        """A request is under way. `evict` takes it back, if that may be, and says whether it did."""
        self._allowance.earn()
        if evict is None:
            return
        self._movable[number] = evict
        if self._timer is None:
            self._look_later()

    def over(self, number: int) -> None:
        """It is under way no more."""
        self._movable.pop(number, None)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        """A first look only suspects: if it was us who stood still, there are tokens to be read before the second."""
        self._timer = None
        if not self._movable:
            self._suspected = False
            return
        now = asyncio.get_running_loop().time()
        still = self._gate.stands_still(now)
        # Without an allowance the engine has its time, and its first tokens tell whether it is slow and not still.
        if still and self._suspected and not self._allowance.exhausted:
            self._evict(now)
        self._suspected = still
        self._look_later()

    def _evict(self, now: float) -> None:
        """Who was sent first goes first."""
        self._gate.fence(now)
        for evict in tuple(self._movable.values()):
            if self._allowance.exhausted:
                return
            if evict():
                self._allowance.spend()
