"""An engine's /metrics, read by meaning.

Names are vLLM's (v1 engine, its documentation's page "Production metrics"); our own CPU engine uses the same.
A series that is absent, malformed or not a finite number is unknown (None), never 0: a scraper that reads
a renamed gauge as 0 takes a full engine for an idle one.
"""

import math
from collections.abc import Iterator
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from local_models.types import EngineMetrics

_RUNNING: Final = ("vllm:num_requests_running",)
_WAITING: Final = ("vllm:num_requests_waiting",)
# The second name is from before vLLM 0.10.
_KV_USAGE: Final = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
_PROMPT: Final = ("vllm:prompt_tokens_total",)
_CACHED: Final = ("vllm:prompt_tokens_cached_total",)
_GENERATED: Final = ("vllm:generation_tokens_total",)
_FINISHED: Final = ("vllm:request_success_total",)
_PREEMPTIONS: Final = ("vllm:num_preemptions_total",)
_CACHE_CONFIG: Final = "vllm:cache_config_info"
_WANTED: Final = frozenset(
    (
        *_RUNNING,
        *_WAITING,
        *_KV_USAGE,
        *_PROMPT,
        *_CACHED,
        *_GENERATED,
        *_FINISHED,
        *_PREEMPTIONS,
        _CACHE_CONFIG,
    )
)


def parse_metrics(text: str, at: float) -> EngineMetrics:
    """Read a Prometheus text exposition scraped at Unix time `at`.

    Where a name has several series (finish reasons, data-parallel engines) counts are added up;
    of several KV pools the fullest counts, since that one refuses first.
    """
    series = tuple(_wanted_samples(text))
    return EngineMetrics(
        at=at,
        running=_total(series, _RUNNING),
        waiting=_total(series, _WAITING),
        kv_usage=_fullest(series),
        kv_tokens=_pool_tokens(series),
        prompt_tokens=_total(series, _PROMPT),
        prompt_tokens_cached=_total(series, _CACHED),
        generation_tokens=_total(series, _GENERATED),
        requests_finished=_total(series, _FINISHED),
        preemptions=_total(series, _PREEMPTIONS),
    )


def _wanted_samples(text: str) -> Iterator[Sample]:
    # Line by line, and only the names in use: a scrape of vLLM is mostly histogram buckets, which cost
    # milliseconds to parse, and one malformed line must not make the others unknown.
    for line in text.splitlines():
        if line.partition("{")[0].partition(" ")[0] not in _WANTED:
            continue
        try:
            samples = [sample for family in text_string_to_metric_families(line) for sample in family.samples]
        except ValueError:
            continue
        yield from (sample for sample in samples if math.isfinite(sample.value) and sample.value >= 0)


def _values(series: tuple[Sample, ...], names: tuple[str, ...]) -> list[float]:
    for name in names:
        if values := [sample.value for sample in series if sample.name == name]:
            return values
    return []


def _total(series: tuple[Sample, ...], names: tuple[str, ...]) -> int | None:
    values = _values(series, names)
    return round(sum(values)) if values else None


def _fullest(series: tuple[Sample, ...]) -> float | None:
    values = _values(series, _KV_USAGE)
    return min(1.0, max(values)) if values else None


def _pool_tokens(series: tuple[Sample, ...]) -> int | None:
    pools = [_labelled_pool(sample.labels) for sample in series if sample.name == _CACHE_CONFIG]
    known = [pool for pool in pools if pool is not None]
    return sum(known) if known else None


def _labelled_pool(labels: dict[str, str]) -> int | None:
    blocks, size = labels.get("num_gpu_blocks", ""), labels.get("block_size", "")
    return int(blocks) * int(size) if blocks.isdecimal() and size.isdecimal() else None
