"""Reading /metrics by meaning: what is not said is unknown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_models.snapshot import parse_metrics
from local_models.types import EngineMetrics

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-8B"} 3.0
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-8B"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="Qwen/Qwen3-8B"} 0.125
vllm:cache_config_info{block_size="16",num_gpu_blocks="1000",cache_dtype="auto",engine="0"} 1.0
vllm:prompt_tokens_total{engine="0"} 1.0e+06
vllm:prompt_tokens_created{engine="0"} 1.7e+09
vllm:prompt_tokens_cached_total{engine="0"} 12.0
vllm:generation_tokens_total{engine="0"} 4711.0
vllm:num_preemptions_total{engine="0"} 0.0
vllm:request_success_total{engine="0",finished_reason="stop"} 5.0
vllm:request_success_total{engine="0",finished_reason="length"} 6.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001"} 0.0
"""


def test_every_series_in_use_is_read() -> None:
    """Gauges, counters, the pool's size, and counts added up over finish reasons."""
    assert parse_metrics(VLLM, at=17.0) == EngineMetrics(
        at=17.0,
        running=3,
        waiting=2,
        kv_usage=0.125,
        kv_tokens=16_000,
        prompt_tokens=1_000_000,
        prompt_tokens_cached=12,
        generation_tokens=4711,
        requests_finished=11,
        preemptions=0,
    )


def test_a_missing_series_is_unknown_and_not_zero() -> None:
    """A server that renames or drops its gauges does not look idle."""
    assert parse_metrics("", at=1.0) == EngineMetrics(at=1.0)
    assert parse_metrics("llamacpp:requests_processing 4\n", at=1.0).running is None


def test_the_old_name_of_the_kv_gauge_is_understood() -> None:
    """vLLM before 0.10 said gpu_cache_usage_perc; where both stand the new one counts."""
    assert parse_metrics('vllm:gpu_cache_usage_perc{m="x"} 0.5\n', at=1.0).kv_usage == 0.5
    both = "vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.75\n"
    assert parse_metrics(both, at=1.0).kv_usage == 0.75


def test_several_engine_cores_count_together_and_the_fullest_pool_speaks() -> None:
    """With data parallelism there is a series per core."""
    text = "".join(
        f'vllm:num_requests_running{{engine="{n}"}} {n + 1}\nvllm:kv_cache_usage_perc{{engine="{n}"}} 0.{n}\n'
        f'vllm:cache_config_info{{engine="{n}",block_size="16",num_gpu_blocks="10"}} 1\n'
        for n in range(3)
    )
    metrics = parse_metrics(text, at=1.0)
    assert metrics.running == 6
    assert metrics.kv_usage == 0.2
    assert metrics.kv_tokens == 480


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "three", ""])
def test_a_value_that_makes_no_sense_is_unknown(value: str) -> None:
    """Neither NaN nor garbage becomes a number, and the other series are read all the same."""
    text = f"vllm:num_requests_running {value}\nvllm:num_requests_waiting 4\n"
    metrics = parse_metrics(text, at=1.0)
    assert metrics.running is None
    assert metrics.waiting == 4


@pytest.mark.parametrize("labels", ['block_size="16"', 'block_size="None",num_gpu_blocks="None"'])
def test_a_pool_of_unknown_size_is_unknown(labels: str) -> None:
    """vLLM prints "None" for what it has not decided."""
    assert parse_metrics(f"vllm:cache_config_info{{{labels}}} 1\n", at=1.0).kv_tokens is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.sampled_from(VLLM.splitlines()))
def test_no_text_breaks_the_reader(noise: str, line: str) -> None:
    """Whatever a server says, there is an answer, and it is finite."""
    for text in (noise, line[: len(line) // 2] + noise, f"vllm:num_requests_running {noise}"):
        metrics = parse_metrics(text, at=1.0)
        assert metrics.kv_usage is None or math.isfinite(metrics.kv_usage)
