"""What our gate is measured against: none, a static cap, vLLM's own two flags, a scrape threshold, Gradient2."""

from scripts.benchmarks.gate_world import Gauges, Request, Verdict

_QUEUE_THRESHOLD, _USAGE_THRESHOLD = 5, 0.8
"""llm-d's `utilization-detector`, its defaults."""
_SMOOTHING, _QUEUE, _LEAST, _MOST = 0.2, 4, 4.0, 200.0
_LONG, _TOLERATED, _LONG_DECAY, _WORST = 2 / 601, 2.0, 0.9, 0.5
"""Netflix concurrency-limits, `Gradient2Limit`, its defaults but for the least limit (20: more than slots)."""


class NoGate:
    """Everything is admitted. The others count as it does what is under way."""

    def __init__(self) -> None:
        self.prompts: dict[int, int] = {}
        """Prompt tokens of requests without a first token."""
        self.sent: dict[int, float] = {}

    def scraped(self, _gauges: Gauges, _now: float) -> None:
        """It does not look."""

    def offer(self, request: Request, now: float) -> Verdict:
        """Admit whom `takes` takes, and send the others away."""
        if not self.takes(request):
            return Verdict.SPILL
        self.prompts[request.number] = request.prompt
        self.sent[request.number] = now
        return Verdict.ADMIT

    def takes(self, _request: Request) -> bool:
        """Whether it is let in."""
        return True

    def token(self, number: int, now: float) -> None:
        """The prompt is done."""
        if self.prompts.pop(number, None) is not None:
            self.began(number, now)

    def began(self, _number: int, _now: float) -> None:
        """It has its first token."""

    def ended(self, number: int, _now: float) -> None:
        """It is over."""
        del self.sent[number]

    def predicted(self, _number: int) -> float | None:
        """It foretells nothing."""
        return None


class StaticCap(NoGate):
    """So many at a time."""

    def __init__(self, cap: int) -> None:
        super().__init__()
        self._cap = cap

    def takes(self, _request: Request) -> bool:
        """Whether there is room."""
        return len(self.sent) < self._cap


class TwoFlags(NoGate):
    """vLLM's `--max-num-queued-reqs` (in flight) and `--max-num-queued-tokens` (prompts without a first token)."""

    def __init__(self, cap: int, tokens: float) -> None:
        super().__init__()
        self._cap = cap
        self._tokens = tokens

    def takes(self, request: Request) -> bool:
        """Whether there is room for one more, and for its prompt."""
        return len(self.sent) < self._cap and sum(self.prompts.values()) + request.prompt <= self._tokens


class ScrapeThreshold(NoGate):
    """Sends away while the engine said at the last scrape that it is saturated."""

    def __init__(self) -> None:
        super().__init__()
        self._gauges = Gauges(0, 0.0)

    def scraped(self, gauges: Gauges, _now: float) -> None:
        """Remember it."""
        self._gauges = gauges

    def takes(self, _request: Request) -> bool:
        """Whether there is room for one more, and for its prompt."""
        return max(self._gauges.waiting / _QUEUE_THRESHOLD, self._gauges.usage / _USAGE_THRESHOLD) < 1


class Gradient2(NoGate):
    """A limit that follows the ratio of long-term to latest time to first token."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit
        self._long: float | None = None

    def takes(self, _request: Request) -> bool:
        """Whether it was not."""
        return len(self.sent) < int(self._limit)

    def began(self, number: int, now: float) -> None:
        """Learn."""
        short = now - self.sent[number]
        self._long = short if self._long is None else self._long + _LONG * (short - self._long)
        if self._long > _TOLERATED * short:
            self._long *= _LONG_DECAY
        if len(self.sent) < self._limit / 2:
            return
        gradient = max(_WORST, min(1.0, self._long / short))
        wanted = self._limit * gradient + _QUEUE
        self._limit = max(_LEAST, min(_MOST, (1 - _SMOOTHING) * self._limit + _SMOOTHING * wanted))
