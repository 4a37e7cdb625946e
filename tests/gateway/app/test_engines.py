"""Engines, those of kind vllm above all: from the configuration to what the engine host runs."""

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app.engines import EngineFailure, engine_specs
from gateway.config.schema import Config
from gateway.config.sites import engine_on_box
from local_models.types import EngineSpec


def config(**engine: Any) -> Config:
    """A file with one vLLM."""
    tree = {
        "schema_version": 1,
        "engines": {"gpu": {"kind": "vllm", "model": "Qwen/Qwen3-8B", **engine}},
        "backends": {"qwen": {"engine": "gpu"}},
        "tiers": {"light": ["qwen"]},
    }
    return Config.model_validate_json(msgspec.json.encode(tree), strict=True)


def test_everything_the_file_says_reaches_the_host(tmp_path: Path) -> None:
    """And nothing of it needs a model of ours: vLLM fetches its own."""
    said = config(python=sys.executable, args=["--enforce-eager"], parallel=64, context=16384, runner="pooling")
    assert engine_specs(said, tmp_path) == [
        EngineSpec(
            name="gpu",
            kind="vllm",
            model="Qwen/Qwen3-8B",
            path="Qwen/Qwen3-8B",
            python=sys.executable,
            parallel=64,
            context=16384,
            runner="pooling",
            args=("--enforce-eager",),
        )
    ]
    assert engine_on_box(said.engines["gpu"])


def test_a_command_is_taken_as_it_is_written(tmp_path: Path) -> None:
    """Whether it is there shows when it is run."""
    (spec,) = engine_specs(config(command=["apptainer", "exec", "vllm.sif", "vllm"]), tmp_path)
    assert (spec.python, spec.command) == (None, ("apptainer", "exec", "vllm.sif", "vllm"))


@pytest.mark.parametrize(
    ("model", "source"), [("hf:Qwen/Qwen3-8B", "Qwen/Qwen3-8B"), ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"), ("{}/m", "{}/m")]
)
def test_what_vllm_is_to_load(tmp_path: Path, model: str, source: str) -> None:
    """An address without its scheme, a name, or a folder; it is served under what the file says."""
    (tmp_path / "m").mkdir()
    written = model.format(tmp_path)
    (spec,) = engine_specs(config(model=written, python=sys.executable), tmp_path)
    assert (spec.model, spec.path) == (written, source.format(tmp_path))


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        ({"python": "/nowhere/python"}, "/nowhere/python is no program: install vLLM into an environment of its own"),
        ({"python": os.devnull}, f"{os.devnull} is no program"),
        ({"python": sys.executable, "model": "/nowhere/model"}, "there is no model at /nowhere/model"),
    ],
)
def test_what_is_not_there_is_said_before_anything_starts(tmp_path: Path, engine: dict[str, str], why: str) -> None:
    """Instead of an engine that crashes until it is given up."""
    with pytest.raises(EngineFailure, match=f"engine gpu: .*{why}"):
        engine_specs(config(**engine), tmp_path)


@pytest.mark.parametrize(("said", "args"), [({}, ()), ({"attention": "plain"}, ("--attention", "plain"))])
def test_which_attention_reaches_the_host(
    model_path: Path, tmp_path: Path, said: dict[str, str], args: tuple[str, ...]
) -> None:
    """Of a CPU engine that is to be fast with long prompts."""
    tree = {
        "schema_version": 1,
        "engines": {"small": {"kind": "llama_cpp", "model": str(model_path), **said}},
        "backends": {"small": {"engine": "small"}},
        "tiers": {"light": ["small"]},
    }
    (spec,) = engine_specs(Config.model_validate_json(msgspec.json.encode(tree), strict=True), tmp_path)
    assert spec.args == args
