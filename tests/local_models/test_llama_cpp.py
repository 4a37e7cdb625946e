"""How the llama.cpp engine is launched."""

import sys

import msgspec
import pytest

from local_models.hardware import cpu_count
from local_models.launch import Place
from local_models.llama_cpp import LlamaCpp
from local_models.types import EngineSpec

PLACE = Place(port=40000, socket=9)
SPEC = EngineSpec(
    name="small", kind="llama_cpp", model="smollm2", path="/m/a b.gguf", parallel=3, context=512, threads=5
)


async def test_the_command_line_says_everything_the_spec_says() -> None:
    """One word per value, further arguments last; our own interpreter, safe from the folder it is started in."""
    assert await LlamaCpp().command(SPEC, PLACE) == (
        *(sys.executable, "-P", "-m", "local_models.llama", "--model", "/m/a b.gguf", "--name", "smollm2", "--fd", "9"),
        *("--parallel", "3", "--context", "512", "--threads", "5"),
    )


async def test_without_a_word_about_threads_it_gets_every_cpu_it_may_use() -> None:
    """What affinity and the container's quota leave."""
    spec = EngineSpec(name="small", kind="llama_cpp", model="m", path="/m.gguf", args=("--max-waiting", "3"))
    command = await LlamaCpp().command(spec, PLACE)
    assert command[-4:] == ("--threads", str(cpu_count()), "--max-waiting", "3")


async def test_what_it_is_for_is_said_where_it_is_not_to_generate() -> None:
    """And how vectors are pooled, where the model does not say."""
    vectors = msgspec.structs.replace(SPEC, runner="pooling")
    assert (await LlamaCpp().command(vectors, PLACE))[-2:] == ("--runner", "pooling")
    pooled = msgspec.structs.replace(vectors, pooling="mean")
    assert (await LlamaCpp().command(pooled, PLACE))[-4:] == ("--runner", "pooling", "--pooling", "mean")


def test_pooling_has_a_meaning_for_one_runner_only() -> None:
    """A spec that could not be obeyed is none."""
    with pytest.raises(ValueError, match="pooling is for runner pooling"):
        EngineSpec(name="small", kind="llama_cpp", model="m", path="/m.gguf", pooling="mean")


def test_its_exit_codes_for_a_bad_model_are_known() -> None:
    """3: the file is not a GGUF it can use; 4: llama.cpp refuses it."""
    assert LlamaCpp().policy.bad_model_exits == {3, 4}
