"""What `forebay doctor` says of engines of kind vllm, each with what is to be done about it."""

from pathlib import Path

import msgspec
import pytest

from gateway.cli.doctor.finding import Finding, Level, broken, note
from gateway.cli.doctor.vllm import Facts, findings, gather
from gateway.config.schema import Config
from local_models.preflight import Shortage
from local_models.vllm import Build

WELL = Facts(engine="gpu", program="/opt/vllm/bin/python", build=Build((0, 32)))
change = msgspec.structs.replace


@pytest.mark.parametrize(
    ("facts", "level", "what", "advice"),
    [
        (WELL, Level.OK, "engine gpu: vLLM 0.32", ""),
        (change(WELL, build=Build((0, 32), "cpu")), Level.OK, "engine gpu: vLLM 0.32 (cpu)", ""),
        (
            change(WELL, runs=False, build=None),
            Level.BROKEN,
            "engine gpu: /opt/vllm/bin/python is no program that can be run",
            "/opt/vllm/bin/pip install vllm",
        ),
        (
            change(WELL, build=None),
            Level.BROKEN,
            "engine gpu: there is no vLLM in /opt/vllm/bin/python",
            "engines.gpu.python",
        ),
        (
            change(WELL, build=Build((0, 28))),
            Level.WARNING,
            "engine gpu: vLLM 0.28 cannot limit its own queue; versions since 0.29 can",
            "pip install --upgrade vllm",
        ),
        (
            change(WELL, build=Build((0, 9)), pooling=True),
            Level.BROKEN,
            "engine gpu: vLLM 0.9 does not know --runner pooling",
            "pip install --upgrade vllm",
        ),
    ],
)
def test_the_program(facts: Facts, level: Level, what: str, advice: str) -> None:
    """Whether it is there, what it is, and whether it is new enough for what the file asks of it."""
    (found,) = findings((facts,))
    assert (found.check, found.level, found.what) == ("vllm", level, what)
    assert advice in (found.advice or "")
    assert (found.advice is None) == (level is Level.OK)


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        (
            change(WELL, folder="/models/qwen"),
            broken(
                "model",
                "engine gpu: there is no model at /models/qwen",
                "put the model there, or correct engines.gpu.model",
            ),
        ),
        (
            change(WELL, short=Shortage("not enough memory on GPU 0", "end what holds it")),
            broken("memory", "engine gpu: not enough memory on GPU 0", "end what holds it"),
        ),
        (
            change(WELL, no_gpu="no NVIDIA driver on this box"),
            broken(
                "vllm",
                "engine gpu: its vLLM is built for GPUs, and no NVIDIA driver on this box",
                "mend the GPU's driver (`nvidia-smi` must list it), or install vLLM's build for CPUs and name it in "
                "engines.gpu.python",
            ),
        ),
        (
            change(WELL, running=True),
            note("vllm", "engine gpu is at work: the memory that it needs is its own already"),
        ),
    ],
)
def test_what_it_needs(facts: Facts, finding: Finding) -> None:
    """Beside the program, which is well."""
    assert list(findings((facts,)))[1:] == [finding]


def seen(home: Path, said: str, space: str = "0", **engine: object) -> Facts:
    """What is gathered of a vLLM that says `said` of its version, on this box."""
    command = home / "vllm"
    command.write_text(f"#!/bin/sh\necho {said}\n")
    command.chmod(0o700)
    tree = {
        "schema_version": 1,
        "engines": {"gpu": {"kind": "vllm", "model": str(home), "command": [str(command)], **engine}},
        "backends": {"qwen": {"engine": "gpu"}},
        "tiers": {"light": ["qwen"]},
    }
    config = Config.model_validate_json(msgspec.json.encode(tree), strict=True)
    (facts,) = gather(config, home, {"PATH": "/usr/bin:/bin", "VLLM_CPU_KVCACHE_SPACE": space})
    return facts


def test_a_vllm_for_cpus_is_looked_at(tmp_path: Path) -> None:
    """It is asked for its version, its model is looked for, and memory is measured against what it would take."""
    well = seen(tmp_path, "0.32.0+cpu")
    assert (well.runs, well.build, well.folder, well.short, well.no_gpu) == (
        True,
        Build((0, 32), "cpu"),
        None,
        None,
        None,
    )
    short = seen(tmp_path, "0.32.0+cpu", space="1000000").short
    assert short is not None
    assert "1073741.8 GB needed" in short.what
    assert seen(tmp_path, "0.32.0+cpu", model=f"{tmp_path}/gone").folder == f"{tmp_path}/gone"


def test_what_is_no_vllm_is_told_from_what_cannot_be_run(tmp_path: Path) -> None:
    """A program that says no version, and none at all."""
    assert seen(tmp_path, "hello").build is None
    assert seen(tmp_path, "hello", command=["/nowhere/vllm"]).runs is False


def test_a_configuration_without_one_has_nothing_to_say(tmp_path: Path) -> None:
    """Nothing is started for it."""
    config = Config.model_validate(
        {
            "schema_version": 1,
            "engines": {"small": {"kind": "llama_cpp", "model": "m"}},
            "backends": {"local": {"engine": "small"}},
            "tiers": {"light": ["local"]},
        }
    )
    assert gather(config, tmp_path, {}) == ()
