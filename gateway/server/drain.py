"""A graceful end: no new requests, time for those still running, and a word to those that take too long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import Code, Unavailable, cut_short

_COME_BACK_S = 5.0


class Drain:
    """Knows the requests under way. Once `begin` was called it lets no more in; `cut` ends those that are left."""

    def __init__(self) -> None:
        self.draining = False
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Around one request, in a task of its own. Raises Unavailable while draining, and when it is cut."""
        if self.draining:
            raise _shutting_down()
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self._idle.clear()
        try:
            yield
        except asyncio.CancelledError as cancelled:
            told = cut_short(cancelled)
            if told is None:
                raise
            task.uncancel()
            raise told from None
        finally:
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    def begin(self) -> None:
        """Let no more in."""
        self.draining = True

    def cut(self) -> None:
        """End what is still running; each caller is told."""
        for task in self._running:
            task.cancel(_shutting_down())

    async def finished(self) -> None:
        """Returns when nothing is running."""
        await self._idle.wait()


def _shutting_down() -> Unavailable:
    return Unavailable("the gateway is shutting down", code=Code.SHUTTING_DOWN, status=503, retry_after=_COME_BACK_S)
