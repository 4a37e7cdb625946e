"""How fast an engine is at present, by the time between the tokens of its streams. Pure.

First tokens tell how fast prompts are read, one or two a second, and each of another length. When another process takes
the box or a chip gets hot, the next tokens of all streams tell within a few steps: a step in which no prompt is read
takes as long as it takes, whatever is asked. How long that usually is with so many streams is learnt as it comes; what
all of those have in common is the speed. Steps beside prompts tell nothing: engines give those more or less of a step.

    error   the logarithm of a time between two tokens, less what is usual and less the present slowness. Of two in a
            row the lesser one counts, and none if they disagree: one late step says nothing
    trend   as much as they have one sign (Trigg and Leach, 1967): what only scatters is not followed
"""

import math
from typing import Final

MANY: Final = 16
"""Of so many streams one more or less makes no difference; a fifth more does."""
_CLIP: Final = 1.386
"""The logarithm of 4: no single error counts for more."""
_FIRST: Final = 10
"""So often a time has to be seen before it is known what is usual."""
_SMOOTHING, _USUAL = 0.2, 0.05
_STEP, _TREND = 0.3, 0.7
"""The largest part of an error that is followed at once, and the trend from which on any is."""
_KEPT: Final = 0.9995
"""What lasts for thousands of steps is usual by then; and what only scatters leads nowhere in the long run."""
_LEAST_SPREAD, _FIRST_SPREAD = 0.02, 0.2


class Cadence:
    """The speed of one engine, as a share of the usual one; what lasts becomes usual."""

    __slots__ = ("_bias", "_last", "_slow", "_spread", "_usual", "speed")

    def __init__(self) -> None:
        self.speed = 1.0
        self._slow = 0.0
        self._usual: dict[int, tuple[float, int]] = {}
        self._last = self._bias = 0.0
        self._spread = _FIRST_SPREAD

    def told(self, gap_s: float, streams: int) -> None:
        """One of so many streams has had a token so long after its last one, and no prompt was read meanwhile."""
        state, seen = _state(streams), math.log(gap_s) - self._slow
        usual, count = self._usual.get(state, (seen, 0))
        error = max(-_CLIP, min(_CLIP, seen - usual))
        if count < _FIRST:
            self._usual[state] = usual + error / (count + 1), count + 1
            return
        lesser = min(abs(error), abs(self._last)) if error * self._last > 0 else 0.0
        self._last = error
        step = math.copysign(self._follow(math.copysign(lesser, error)) * lesser, error)
        self._usual[state] = usual + _USUAL * (error - step), count
        self._slow = _KEPT * self._slow + step
        self.speed = math.exp(-self._slow)

    def expect(self, share: float) -> None:
        """It will have so many times its speed, as somebody else has found out: that is what is usual then."""
        more = -math.log(share)
        self._usual = {state: (usual + more, count) for state, (usual, count) in self._usual.items()}

    def _follow(self, error: float) -> float:
        """Which part of the error is believed to last."""
        self._bias += _SMOOTHING * (error - self._bias)
        self._spread += _SMOOTHING * (abs(error) - self._spread)
        trend = abs(self._bias) / max(self._spread, _LEAST_SPREAD)
        return _STEP * max(0.0, trend - _TREND) / (1 - _TREND)


def _state(streams: int) -> int:
    """One for each number of streams, and beyond `MANY` for each fifth more."""
    return streams if streams < MANY else MANY + round(math.log(streams / MANY) / math.log(1.2))
