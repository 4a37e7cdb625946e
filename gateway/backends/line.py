"""Waits for what a server says, which end all at once when it is known that it will say no more."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.deadline import Alarms, Deadline
from gateway.errors import Broken

T = TypeVar("T")


class Line:
    """The way to one server. `name` is what errors call who is there; its deadlines are among `alarms`."""

    def __init__(self, name: str, alarms: Alarms) -> None:
        self.time = alarms.clock.time
        """The clock that deadlines go by."""
        self._name = name
        self._alarms = alarms
        self._dead = False
        self._waits: set[Deadline] = set()

    async def within(self, step: Callable[[], Awaitable[T]], until: float) -> T:
        """What `step` brings before `until`. Raises TimeoutError, or Broken once the line is cut."""
        if self._dead:
            raise self._broken()
        try:
            with Deadline(until, self._alarms) as wait:
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
            wait.end()

    def _broken(self) -> Broken:
        return Broken(f"{self._name}: its engine hangs")
