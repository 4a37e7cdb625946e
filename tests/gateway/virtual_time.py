"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done.

Tests of waiting take no time, and a test that would hang runs into its timeout at once.
"""

import asyncio
import selectors

# Only something outside the loop, a thread or a socket, can end a wait without timers; this bounds it.
_REAL_WAIT_S = 5.0


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: the time it was to wait is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; if nothing is, the time has passed."""
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(_REAL_WAIT_S)
        self.now += timeout
        return []


async def pass_time(seconds: float) -> None:
    """Let time pass on the virtual clock, for everybody."""
    await asyncio.sleep(seconds)


def stand_still(seconds: float) -> None:
    """Time passes, and nobody in this process notices while it does."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stand_still(seconds)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when everybody waits for it."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def stand_still(self, seconds: float) -> None:
        """See `stand_still`."""
        self._virtual.now += seconds

    def time(self) -> float:
        """Seconds on the virtual clock."""
        # Many small steps add up to what one large one makes.
        return round(self._virtual.now, 9)
