"""`/metrics`: Prometheus text under vLLM's names, so that whoever reads vLLM reads this engine.

Counters and gauges are the owner thread's published numbers; times are recorded by the HTTP side as events arrive.
Nothing here runs on the owner thread, and a scrape touches no state but plain numbers.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from local_models.llama.jobs import Snapshot

# vLLM's buckets, so that dashboards made for it fit.
FIRST_TOKEN_BUCKETS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
BETWEEN_TOKENS_BUCKETS: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BUCKETS: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip

Ending = Literal["stop", "length", "abort", "error"]


class Histogram:
    """Counts of seconds per bucket. `bounds` are the buckets' upper ends; one more bucket takes the rest."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """(upper end, count up to there) per bucket, as Prometheus wants them, and the sum of all values."""
        total = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            rows.append((bound, total))
        return rows, self._sum


class Timings:
    """What the HTTP side counts. Written on the event loop only."""

    def __init__(self) -> None:
        self.first_token = Histogram(FIRST_TOKEN_BUCKETS)
        self.between_tokens = Histogram(BETWEEN_TOKENS_BUCKETS)
        self.request = Histogram(REQUEST_BUCKETS)
        self.endings: Counter[Ending] = Counter()


class Metrics(Collector):
    """Collects one engine's numbers; `text` renders them."""

    def __init__(self, model: str, *, parallel: int, context: int, timings: Timings) -> None:
        self._labels = (model,)
        self._capacity = parallel * context
        self._timings = timings
        self._snapshot = Snapshot()
        self._waiting = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self, snapshot: Snapshot, waiting: int) -> bytes:
        """The exposition. `waiting` counts sequences without a slot, those that are still on their way included."""
        self._snapshot, self._waiting = snapshot, waiting
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing is collected at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families."""
        snapshot = self._snapshot
        yield self._gauge("num_requests_running", "Sequences being generated.", snapshot.running)
        yield self._gauge("num_requests_waiting", "Sequences waiting for a slot.", self._waiting)
        yield self._gauge(
            "kv_cache_usage_perc", "Used part of the KV cache, 0 to 1.", snapshot.kv_tokens / self._capacity
        )
        yield self._counter("prompt_tokens", "Prompt tokens read, cached ones included.", snapshot.prompt_tokens)
        aside = CounterMetricFamily(
            "forebay:prompt_tokens_aside", "Prompt tokens read beside the streams' steps.", labels=("model_name",)
        )
        aside.add_metric(self._labels, snapshot.aside_tokens)
        yield aside
        yield self._counter("prompt_tokens_cached", "Prompt tokens taken from a cache.", snapshot.prefix_hits)
        yield self._counter("prefix_cache_queries", "Prompt tokens looked for in the cache.", snapshot.prefix_queries)
        yield self._counter("prefix_cache_hits", "Prompt tokens found in the cache.", snapshot.prefix_hits)
        yield self._counter("generation_tokens", "Tokens generated.", snapshot.generation_tokens)
        success = CounterMetricFamily(
            "vllm:request_success", "Finished choices by reason.", labels=("model_name", "finished_reason")
        )
        endings: tuple[Ending, ...] = ("stop", "length", "abort", "error")
        for ending in endings:
            success.add_metric((*self._labels, ending), self._timings.endings[ending])
        yield success
        timings = self._timings
        yield self._histogram("time_to_first_token_seconds", "From request to first token.", timings.first_token)
        yield self._histogram("inter_token_latency_seconds", "Between tokens.", timings.between_tokens)
        yield self._histogram("e2e_request_latency_seconds", "From request to last token.", timings.request)
        cache = {"block_size": "1", "num_gpu_blocks": str(self._capacity), "cache_dtype": "f16"}
        info = InfoMetricFamily("vllm:cache_config", "Shape of the KV cache.", labels=("model_name",))
        info.add_metric(self._labels, cache)
        yield info

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", text, labels=("model_name",))
        family.add_metric(self._labels, value)
        return family

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"vllm:{name}", text, labels=("model_name",))
        family.add_metric(self._labels, value)
        return family

    def _histogram(self, name: str, text: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(f"vllm:{name}", text, labels=("model_name",))
        buckets, total = histogram.cumulative()
        family.add_metric(self._labels, buckets, total)
        return family
