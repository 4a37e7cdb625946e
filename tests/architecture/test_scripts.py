"""What a person starts is executable, stops at the first error, and explains itself."""

import os
import subprocess

import pytest

from tests.architecture.source import ROOT

NAMES = ("run", "test", "check", "lock", "bench", "fit-difficulty", "vllm-cpu", "test-vllm", "image-setup")
COMMANDS = tuple(f"scripts/{name}" for name in (*NAMES, "gpu-acceptance"))


@pytest.mark.parametrize("name", [*COMMANDS, ".ci/run"])
def test_the_command_can_be_started(name: str) -> None:
    """It is executable, parses, names its interpreter and stops at the first error."""
    path = ROOT / name
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "#!/usr/bin/env bash"
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
    assert subprocess.run(["bash", "-n", path], check=False, timeout=60).returncode == 0


def test_every_benchmark_is_in_the_list_of_benchmarks() -> None:
    """`scripts/bench` without a name lists what there is, a line each."""
    done = subprocess.run([ROOT / "scripts" / "bench"], capture_output=True, text=True, check=False, timeout=60)
    listed = {line.split()[0] for line in done.stderr.splitlines() if line.startswith("  ")}
    files = (ROOT / "scripts" / "benchmarks").glob("*.py")
    assert done.returncode == 2
    assert listed == {path.stem for path in files if "_" not in path.stem}


def test_ci_runs_what_people_run() -> None:
    """CI has no steps of its own: what passes here passes there."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("scripts/")] == [
        "scripts/check",
        "scripts/test",
        "scripts/test-vllm",
    ]
