"""Whether an engine gets on, and how many requests it may have while that is in doubt. Pure: times are told.

    shut ───first──────────────────────────────────────────────────────────► up
    down ──it is back──► ramp ──a slot at first, twice as many every second──► up
                      ▲                                                    │
                      │ a token came: half the slots at first              │ no stream has got a token for longer than
                      └───────────────────── fenced ◄──────────────────────┘ three times what all prompts should take

Fenced nobody is let in, and who has got nothing yet may be taken back (see `eviction`). If nothing is under way any
more that could show that it gets on, one request every two seconds is let in to find out; one that was down meanwhile
and is back has shown it. An engine that has not been heard of for five seconds gets half as many, after fifteen none.
"""

import math
from typing import Final

_STALL_S: Final = 1.0
STALL_FACTOR: Final = 3.0
_CANARY_S: Final = 2.0
_IN_DOUBT_S: Final = 60.0
"""Whoever watches an engine has long found out by then whether it hangs."""
_STALE_S: Final = 5.0
_DOWN_S: Final = 15.0
_RAMP_S: Final = 30.0
"""After so many doublings every engine has all its slots."""


class Health:
    """Of one engine."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._open = False
        self._fell = False
        self._fenced = False
        self._ramp_from = float(slots)
        self._ramp_at = -math.inf
        self._progress_at = 0.0
        self._canary_at = -math.inf
        self._heard_at = -math.inf

    @property
    def fenced(self) -> bool:
        """Whether it was found to stand still, and nothing has come from it since."""
        return self._fenced

    def in_doubt(self, now: float) -> bool:
        """Whether it was found to stand still a short while ago. Who has been taken back from it would know more."""
        return self._fenced and now - self._progress_at < _IN_DOUBT_S

    @property
    def progress_at(self) -> float:
        """When the last sign of life came, or the first request that should bring one was sent."""
        return self._progress_at

    def excuse(self, seconds: float, now: float) -> None:
        """For so long nobody here could have heard anything; what was heard since then is no later than now."""
        self._progress_at = min(now, self._progress_at + seconds)
        self._heard_at = min(now, self._heard_at + seconds)

    def fence(self) -> None:
        """It was found to stand still."""
        self._fenced = True

    def stands_still(self, work_s: float, factor: float, now: float, since: float) -> bool:
        """Whether there has been no token, waited for `since`, for `factor` times what all prompts should take."""
        return now - max(self._progress_at, since) > max(_STALL_S, factor * work_s)

    def heard(self, now: float, *, ready: bool) -> None:
        """Who watches the engine says how it is. One that was down and is back gets its load step by step."""
        self._heard_at = now
        if ready and not self._open and self._fell:
            self._fenced = False
            self._ramp(1.0, now)
        self._fell = self._fell or (self._open and not ready)
        self._open = ready

    def sent(self, now: float, before: int) -> None:
        """A request is on its way beside so many others; beside none its time begins now."""
        self._canary_at = now
        if not before:
            self._progress_at = now

    def progressed(self, now: float) -> bool:
        """A token came; whether it is the first after a standstill."""
        self._progress_at = now
        if not self._fenced:
            return False
        self._fenced = False
        self._ramp(max(1.0, self._slots / 2), now)
        return True

    def quiet(self, now: float) -> bool:
        """Whether nothing has come for so long that it is worth a look who has waited since when."""
        return now - self._progress_at > _STALL_S

    def ceiling(
        self, in_flight: int, work_s: float, now: float, *, since: float = -math.inf, ramped: bool = True
    ) -> int:
        """How many requests it may have at most; `work_s` is what all prompts under way should take.

        `since`: nobody has waited for a token before. `ramped`: this is asked for one that can be done harm to by a
        load that comes too soon.
        """
        age = now - self._heard_at
        if not self._open or age > _DOWN_S:
            return 0
        if in_flight and self.quiet(now):
            self._fenced |= self.stands_still(work_s, STALL_FACTOR, now, since)
        if self._fenced:
            return 1 if not in_flight and now - self._canary_at >= _CANARY_S else 0
        most = self._slots if age <= _STALE_S else max(1, self._slots // 2)
        if not ramped or now - self._ramp_at >= _RAMP_S:
            return most
        return min(most, int(self._ramp_from * 2.0 ** math.floor(now - self._ramp_at)))

    def _ramp(self, first: float, now: float) -> None:
        self._ramp_from, self._ramp_at = first, now
