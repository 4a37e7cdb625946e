"""Waits for what a server says, which end all at once when it is known that it will say no more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.errors import Broken

T = TypeVar("T")


class Line:
    """The way to one server. `name` is what errors call who is there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._dead = False
        self._waits: set[asyncio.Timeout] = set()

    async def within(self, step: Callable[[], Awaitable[T]], until: float) -> T:
        """What `step` brings, by the loop's clock. Raises TimeoutError, or Broken once the line is cut."""
        if self._dead:
            raise self._broken()
        try:
            async with asyncio.timeout_at(until) as wait:
                self._waits.add(wait)
                try:
                    return await step()
                finally:
                    self._waits.discard(wait)
        except TimeoutError as error:
            if self._dead:
                raise self._broken() from error
            raise

    def cut(self) -> None:
        """Nothing more will come: whoever waits, or is about to, is told so."""
        self._dead = True
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(0.0)

    def _broken(self) -> Broken:
        return Broken(f"{self._name}: its engine hangs")
