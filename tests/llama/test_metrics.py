"""The exposition carries vLLM's names, and numbers that mean what vLLM's mean."""

from prometheus_client.parser import text_string_to_metric_families

from local_models.llama.jobs import Snapshot
from local_models.llama.metrics import Histogram, Metrics, Timings
from tests.llama.engine_process import NAME, EngineProcess

COUNTERS = {
    "prompt_tokens", "prompt_tokens_cached", "prefix_cache_queries", "prefix_cache_hits", "generation_tokens",
    "request_success",
}  # fmt: skip
GAUGES = {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "cache_config_info"}
HISTOGRAMS = {"time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"}


def samples(text: str) -> dict[tuple[str, str], float]:
    """Value by sample name and the one label that tells samples of a family apart."""
    return {
        (sample.name, sample.labels.get("le") or sample.labels.get("finished_reason") or ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_histograms_count_up_to_and_including_their_bounds() -> None:
    """A value on a bound belongs under it, one above the last goes to +Inf."""
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    assert histogram.cumulative() == ([("0.1", 2), ("1.0", 3), ("+Inf", 4)], 7.65)


def test_every_family_has_vllms_name_and_type() -> None:
    """Names, types and the label model_name are those that readers of vLLM's metrics look for."""
    text = Metrics("some model", parallel=2, context=100, timings=Timings()).text(Snapshot(), 0).decode()
    families = {family.name.removeprefix("vllm:"): family for family in text_string_to_metric_families(text)}
    assert families.pop("forebay:prompt_tokens_aside").type == "counter"  # what vLLM has no name for
    assert families.keys() == COUNTERS | GAUGES | HISTOGRAMS
    for names, kind in ((COUNTERS, "counter"), (GAUGES, "gauge"), (HISTOGRAMS, "histogram")):
        assert {families[name].type for name in names} == {kind}
    assert all(s.labels["model_name"] == "some model" for family in families.values() for s in family.samples)
    assert not [name for name in text.split() if "_created" in name]


def test_numbers_come_from_the_snapshot() -> None:
    """KV use is a share of all slots together; the cache's size can be read from its labels, as with vLLM."""
    metrics = Metrics("m", parallel=2, context=100, timings=Timings())
    told = Snapshot(running=2, waiting=9, kv_tokens=50, prompt_tokens=7, aside_tokens=5, generation_tokens=8)
    text = metrics.text(told, 3).decode()
    found = samples(text)
    assert found["vllm:num_requests_running", ""] == 2
    assert found["vllm:num_requests_waiting", ""] == 3
    assert found["vllm:kv_cache_usage_perc", ""] == 0.25
    assert found["vllm:prompt_tokens_total", ""] == 7
    assert found["forebay:prompt_tokens_aside_total", ""] == 5
    assert found["vllm:generation_tokens_total", ""] == 8
    assert 'block_size="1"' in text
    assert 'num_gpu_blocks="200"' in text


def test_a_served_request_is_counted_once_everywhere(engine: EngineProcess) -> None:
    """Prompt and generated tokens, one first token, the others between tokens, one request, one ending."""
    before = samples(engine.http.get("/metrics").text)
    usage = engine.chat("Count me.", max_tokens=7)["usage"]
    after = samples(engine.http.get("/metrics").text)
    grown = {key: after[key] - before[key] for key in after if after[key] != before[key]}
    assert grown["vllm:prompt_tokens_total", ""] == usage["prompt_tokens"]
    assert grown["vllm:generation_tokens_total", ""] == usage["completion_tokens"] == 7
    assert grown["vllm:time_to_first_token_seconds_count", ""] == 1
    assert grown["vllm:inter_token_latency_seconds_count", ""] == 6
    assert grown["vllm:e2e_request_latency_seconds_count", ""] == 1
    assert grown["vllm:e2e_request_latency_seconds_sum", ""] > grown["vllm:inter_token_latency_seconds_sum", ""] > 0
    assert grown["vllm:request_success_total", "length"] == 1
    assert NAME in engine.http.get("/metrics").text
