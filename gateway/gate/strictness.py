"""What chances of lateness are multiplied by, so that as many promises are broken as may be. Pure.

Of first tokens and of the time between tokens separately: a forecast of the one can be right while the other is not.
Those of the time between tokens are too careful near the limit, for whoever would make it longer is not let in then.
"""

import math
from typing import Final

from gateway.gate.entries import TELLING_TOKENS, Entry

LATE, SLOW = 0.004, 0.003
"""The share of broken promises that each is steered to: together below the one in a hundred that is allowed."""
_STRICTER: Final = 0.4
_LOOSEST, _STRICTEST = 0.2, 3.0
_SURPRISE: Final = 0.7
"""An engine that has so much of its speed left, or less, breaks promises that nobody could make more carefully."""


class Strictness:
    """Of one engine."""

    def __init__(self, late: float = 1.0, slow: float = 1.0) -> None:
        self.late = late
        """Of first tokens."""
        self.slow = slow
        """Of the time between tokens."""

    def chance(self, late: float, slow: float) -> float:
        """That a promise is broken, by the chances that its first token is late and that the others come slowly."""
        return min(1.0, max(late * self.late, slow * self.slow))

    def learn(self, entry: Entry, now: float, speed: float) -> None:
        """An answer is over, of an engine that has this speed by now: what came of what it was promised?"""
        late, slow = entry.late(now), entry.slow(now)
        if entry.pauses or not (entry.tokens or late) or ((late or slow) and speed < _SURPRISE * entry.speed):
            return
        if entry.first_s is not None:
            self.late = _steer(self.late, late - LATE)
        if entry.gap_s is not None and entry.tokens >= TELLING_TOKENS:
            self.slow = _steer(self.slow, slow - SLOW)


def _steer(known: float, error: float) -> float:
    return min(_STRICTEST, max(_LOOSEST, known * math.exp(_STRICTER * error)))
