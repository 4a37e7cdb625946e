"""A clock that runs only while this process does.

A laptop is shut, a virtual machine is paused or moved, somebody sends SIGSTOP: afterwards every deadline has passed at
once, and what had come in time lies unread. Blamed on those who were waited for, that would break off answers which
are there, and have providers left alone that are well.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final

_BEAT_S: Final = 0.5
_LATE_S: Final = 0.5
"""A beat that is later by less is a busy process's."""


def _nobody(_seconds: float) -> None:
    """Is to be told."""


def _loops_time() -> float:
    return asyncio.get_running_loop().time()


class AwakeClock:
    """The loop's clock, less the time in which this process stood still between `begin` and `end`; `told` hears of it,
    in seconds.

    It shows in a beat that comes late. Who asks for the time before that beat finds it out as well.
    """

    def __init__(self, told: Callable[[float], None] = _nobody) -> None:
        self.lost_s = 0.0
        """By how much it is behind the loop's."""
        self._told = told
        # Each piece of each stream asks for the time: to look for the loop every time took a third of it.
        self._loops_time = _loops_time
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def time(self) -> float:
        """Seconds."""
        now = self._loops_time()
        late = now - self._due
        if late >= _LATE_S:
            self._due = now
            self.lost_s += late
            self._told(late)
        return now - self.lost_s

    def begin(self) -> None:
        """Beat, within the running loop."""
        loop = asyncio.get_running_loop()
        self._loops_time = loop.time
        self.time()
        self._due = loop.time() + _BEAT_S
        self._timer = loop.call_at(self._due, self.begin)

    def end(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = math.inf
