"""Whether an engine gets on, told from its own figures.

vLLM's /health says 200 for as long as its API server lives, whatever has become of the core behind it. But each step of
the core leaves a trace: a token, a request that ended, room taken by a piece of a prompt.
"""

from dataclasses import dataclass

from msgspec import structs

from local_models.types import EngineMetrics


@dataclass(frozen=True, slots=True)
class Progress:
    """The figures last seen, and since when they have been the same; `now` is monotonic seconds.

    Standing still is no proof. When all requests were cancelled at once, vLLM's figures stay as they were until there
    is another one (vllm #29928); and the step that hangs may be the first one, of which nobody has heard.
    """

    figures: EngineMetrics | None = None
    since: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing seems to run."""
        return self.figures is None or not self.figures.running

    def seen(self, metrics: EngineMetrics | None, now: float) -> "Progress":
        """With one more look. What is not said is unknown, and nothing is concluded from it."""
        figures = None if metrics is None else structs.replace(metrics, at=0.0)
        if figures is not None and figures.running is not None and figures == self.figures:
            return self
        return Progress(figures, now)

    def stood_still(self, now: float) -> float:
        """For how many seconds there has been no step."""
        return now - self.since
