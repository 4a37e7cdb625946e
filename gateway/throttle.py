"""The escalation rate, and the brake on it.

Escalation rate = escalated requests ÷ all requests, over the last thousand. A light tier that has gone bad would
otherwise send every request upstairs, each paid twice.
"""

from collections import deque

_WINDOW = 1000


class EscalationThrottle:
    """Counts requests; `braking` once more than `rate` of at least `after` of them escalated."""

    def __init__(self, rate: float, after: int) -> None:
        self._rate = rate
        self._after = after
        self._recent: deque[bool] = deque(maxlen=max(_WINDOW, after))
        self._escalated = 0

    def record(self, *, escalated: bool) -> None:
        """One more request has ended."""
        if len(self._recent) == self._recent.maxlen:
            self._escalated -= self._recent[0]
        self._recent.append(escalated)
        self._escalated += escalated

    @property
    def rate(self) -> float:
        """Escalated requests ÷ all requests; 0 before the first."""
        return self._escalated / len(self._recent) if self._recent else 0.0

    @property
    def braking(self) -> bool:
        """Whether only classes with escalation priority may escalate."""
        return len(self._recent) >= self._after and self.rate > self._rate
