"""A graceful end: no new requests, and a count of those still running."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import Code, Unavailable


class Drain:
    """Counts requests under way; once `begin` was called it lets no more in."""

    def __init__(self) -> None:
        self.running = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Around one request. Raises Unavailable while draining."""
        if self.draining:
            raise Unavailable("the gateway is shutting down", code=Code.SHUTTING_DOWN, status=503, retry_after=5)
        self.running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    def begin(self) -> None:
        """Let no more in."""
        self.draining = True

    async def finished(self) -> None:
        """Returns when nothing is running."""
        await self._idle.wait()
