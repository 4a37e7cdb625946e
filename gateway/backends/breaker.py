"""A circuit breaker per backend: stop asking what keeps failing, and notice when it is back.

Opens after 5 failures in a row or when half of the last 20 calls failed; stays open 15 s, doubling to 120 s while
probes fail; then lets one probe through at a time. A `retry-after` holds it open without counting as a failure:
a backend that refuses quickly must not look like one that answers quickly.
"""

from collections import deque

_CONSECUTIVE = 5
_WINDOW = 20
_SHARE = 0.5
_FIRST_PAUSE_S = 15.0
_LONGEST_PAUSE_S = 120.0


class Breaker:
    """Times are seconds on any one monotonic clock."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=_WINDOW)
        self._consecutive = 0
        self._open_until = 0.0
        self._told_until = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._tripped = False
        self._probing = False

    def open_for(self, now: float) -> float:
        """Seconds until a call may be made; 0 when one may."""
        if now < self._open_until:
            return self._open_until - now
        return self._pause_s if self._probing else 0.0

    def told(self, now: float) -> bool:
        """Whether it is open because the backend asked to be left alone, and not for failures alone."""
        return now < self._told_until

    def enter(self, now: float) -> None:
        """A call is about to be made; after a pause it is the only one until its result is known.

        One that was let in before the breaker opened, and waited for a slot meanwhile, is no probe.
        """
        self._probing = self._tripped and now >= self._open_until

    def succeeded(self) -> None:
        """The call was answered."""
        if self._tripped:
            self._recent.clear()
        self._recent.append(True)
        self._consecutive = 0
        self._pause_s = _FIRST_PAUSE_S
        self._tripped = self._probing = False

    def failed(self, now: float) -> None:
        """The call failed for a reason that lies with the backend."""
        self._recent.append(False)
        self._consecutive += 1
        full = len(self._recent) == _WINDOW and self._recent.count(False) >= _SHARE * _WINDOW
        if self._probing:
            self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)
        if self._probing or full or self._consecutive >= _CONSECUTIVE:
            self._open_until = now + self._pause_s
            self._tripped = True
        self._probing = False

    def told_to_wait(self, now: float, seconds: float) -> None:
        """The backend named a time before which it wants no call."""
        self._told_until = max(self._told_until, now + seconds)
        self._open_until = max(self._open_until, self._told_until)
        self._probing = False

    def gave_no_evidence(self) -> None:
        """The call ended for a reason that says nothing of the backend, such as a caller who hung up."""
        self._probing = False

    def forget(self) -> None:
        """What was seen of the backend holds no more: it has been started anew."""
        self._recent.clear()
        self._consecutive = 0
        self._open_until = self._told_until = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._tripped = self._probing = False
