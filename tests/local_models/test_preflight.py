"""Whether there is memory for a vLLM: what is needed, what is free, and who holds it."""

import pytest

from local_models.preflight import Holder, Pool, short_on_cpu, short_on_gpus, value_of

GIB = 1 << 30
FREE = Pool(name="GPU 0 (NVIDIA H100)", total=80 * 10**9, free=79 * 10**9)
TAKEN = Pool(
    name="GPU 1 (NVIDIA H100)",
    total=80 * 10**9,
    free=20 * 10**9,
    holders=(Holder(4242, 59 * 10**9), Holder(17, None)),
)
SHORT = (
    "not enough memory on GPU 1 (NVIDIA H100): 72.0 GB needed (--gpu-memory-utilization 0.9 of 80.0 GB), 20.0 GB free; "
    "held by process 4242 (59.0 GB): end what holds it, or write a lower --gpu-memory-utilization in its args"
)
TOO_FEW = "2 GPUs are needed, and it may use 1: write a lower --tensor-parallel-size in its args, or leave it more GPUs"
BOX = Pool(name="this box", total=16 * GIB, free=4 * GIB)


@pytest.mark.parametrize(
    ("args", "gpus", "said"),
    [
        ((), (FREE,), None),
        ((), (TAKEN,), SHORT),
        ((), (FREE, TAKEN), None),
        (("-tp", "2"), (FREE, TAKEN), SHORT),
        (("--tensor-parallel-size=1", "--pipeline_parallel_size=2"), (FREE, TAKEN), SHORT),
        (("--tensor-parallel-size", "2"), (FREE,), TOO_FEW),
        (("--gpu-memory-utilization", "0.2"), (TAKEN,), None),
        (("--gpu_memory_utilization=0.2",), (TAKEN,), None),
        (("--gpu-memory-utilization", "0.2", "--gpu-memory-utilization", "0.9"), (TAKEN,), SHORT),
        (("--gpu-memory-utilization", "much"), (TAKEN,), SHORT),
        (("--kv-cache-memory-bytes", "1G"), (TAKEN,), None),
        ((), (), None),
        ((), (Pool(name="GPU 0", total=None, free=None),), None),
    ],
)
def test_on_gpus(args: tuple[str, ...], gpus: tuple[Pool, ...], said: str | None) -> None:
    """The share of each GPU that it is going to use; where nothing is known, nothing is refused."""
    found = short_on_gpus(args, gpus)
    assert (None if found is None else str(found)) == said


@pytest.mark.parametrize(
    ("space", "weights", "said"),
    [
        ("", None, None),
        ("", 2 * GIB, None),
        ("3", GIB, None),
        ("3", None, None),
        ("much", GIB, None),
        (
            "4",
            GIB,
            (
                "not enough memory on this box: 5.4 GB needed (VLLM_CPU_KVCACHE_SPACE 4.3 GB and weights 1.1 GB), 4.3"
                " GB free: end what holds it, or set a lower VLLM_CPU_KVCACHE_SPACE"
            ),
        ),
        (
            "",
            5 * GIB,
            (
                "not enough memory on this box: 5.4 GB needed (weights 5.4 GB), 4.3 GB free: end what holds it, or set"
                " a lower VLLM_CPU_KVCACHE_SPACE"
            ),
        ),
    ],
)
def test_on_a_cpu(space: str, weights: int | None, said: str | None) -> None:
    """The cache that was asked for, and the weights as far as they are known."""
    found = short_on_cpu({"VLLM_CPU_KVCACHE_SPACE": space}, weights, BOX)
    assert (None if found is None else str(found)) == said


def test_memory_that_nobody_tells_of_is_not_refused() -> None:
    """Unknown is not none."""
    assert short_on_cpu({"VLLM_CPU_KVCACHE_SPACE": "400"}, GIB, Pool(name="this box", total=None, free=None)) is None


def test_a_flag_at_the_end_has_no_value() -> None:
    """vLLM will say what it thinks of it."""
    assert value_of(("--gpu-memory-utilization",), "--gpu-memory-utilization") is None
