"""What a person starts is executable, stops at the first error, and explains itself."""

import os
import subprocess

import pytest

from tests.architecture.source import ROOT

COMMANDS = ("scripts/run", "scripts/test", "scripts/check", "scripts/lock", ".ci/run")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_can_be_started(name: str) -> None:
    """It is executable, parses, names its interpreter and stops at the first error."""
    path = ROOT / name
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "#!/usr/bin/env bash"
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
    assert subprocess.run(["bash", "-n", path], check=False, timeout=60).returncode == 0


def test_ci_runs_what_people_run() -> None:
    """CI has no steps of its own: what passes here passes there."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("scripts/")] == ["scripts/check", "scripts/test"]
