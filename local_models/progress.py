"""Whether an engine gets on, told from its own figures.

vLLM's /health says 200 for as long as its API server lives, whatever has become of the core behind it. But each step of
the core leaves a trace: a token, a request that ended, room taken by a piece of a prompt.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

from msgspec import structs

from local_models.policy import Policy
from local_models.types import EngineMetrics


class Gait(Enum):
    """How an engine gets on."""

    WELL = auto()
    QUIET = auto()
    """It says that nothing runs, and it may as well hang: a canary would tell."""
    STILL = auto()
    """There is work for it, and no step was made."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The figures last seen, and since when they have been the same; `now` is monotonic seconds.

    Standing still is no proof. When all requests were cancelled at once, vLLM's figures stay as they were until there
    is another one (vllm #29928). And they are those of the last step: a core that hangs before the next one has
    requests, and says that nothing runs. Who sent them knows better: `in_flight` is how many there are.
    """

    figures: EngineMetrics | None = None
    since: float = 0.0
    in_flight: int = 0

    @property
    def idle(self) -> bool:
        """Whether nothing seems to run."""
        return self.figures is None or not self.figures.running

    def seen(self, metrics: EngineMetrics | None, now: float, in_flight: int = 0) -> "Progress":
        """With one more look. What is not said is unknown, and nothing is concluded from it.

        With the first request that is in flight there is work, of which no step is to be expected before.
        """
        figures = None if metrics is None else structs.replace(metrics, at=0.0)
        same = figures is not None and figures.running is not None and figures == self.figures
        begins = bool(in_flight and not self.in_flight)
        return Progress(figures, self.since if same and not begins else now, in_flight)

    def excused(self, seconds: float) -> "Progress":
        """With so much time in which nobody looked, as whoever does stood still himself; the engine may have, too."""
        return replace(self, since=self.since + seconds)

    def stood_still(self, now: float) -> float:
        """For how many seconds there has been no step."""
        return now - self.since

    def gait(self, now: float, policy: Policy) -> Gait:
        """What follows. A canary needs a moment, in which it is not yet held against an engine that seems idle."""
        limit, still = policy.stall_limit, self.stood_still(now)
        if limit is None:
            return Gait.WELL
        if not self.idle:
            return Gait.STILL if still >= limit / 2 else Gait.WELL
        quiet, late = (
            (limit / 2, limit * 1.5) if self.in_flight else (policy.quiet_limit, policy.quiet_limit + 2 * limit)
        )
        return Gait.STILL if still >= late else Gait.QUIET if still >= quiet else Gait.WELL
