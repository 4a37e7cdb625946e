"""A fitting Python is found, and an unfit one is named with what to do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH on which only the tools of the script itself are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "dirname", "sed"):
        (folder / tool).symlink_to(shutil.which(tool) or f"/usr/bin/{tool}")
    # In a clone of its own, because one that has an environment keeps the Python which made it.
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "environment.sh", tmp_path / "scripts")
    return folder


def put(folder: Path, name: str, version: str, *, fits: bool, venv: bool = True) -> Path:
    """A program that answers like a Python of that version."""
    program = folder / name
    checks = f"*version_info*11*) exit {0 if fits else 1};; *ensurepip*) exit {0 if venv else 1};;"
    program.write_text(f'#!/bin/sh\ncase "$2" in *%d.%d*) echo {version};; {checks} esac\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def find(path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """What the script answers."""
    program = f". {path.parent}/scripts/environment.sh; find_python"
    return subprocess.run(
        [path / "bash", "-c", program],
        env={"PATH": str(path), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_running_python_fits(path: Path) -> None:
    """A real Python named by the person is taken as it is."""
    found = find(path, PYTHON=sys.executable)
    assert (found.returncode, found.stdout.strip()) == (0, sys.executable)


def test_too_old_a_python_is_passed_over(path: Path) -> None:
    """The next candidate is tried, and one without venv does not count."""
    put(path, "python3.13", "3.13", fits=True, venv=False)
    put(path, "python3.12", "3.12", fits=True)
    put(path, "python3", "3.9", fits=False)
    assert find(path).stdout.strip() == "python3.12"


def test_no_fitting_python_is_explained(path: Path) -> None:
    """What was found, why it does not do, and what to install."""
    put(path, "python3", "3.9", fits=False)
    put(path, "python3.12", "3.12", fits=True, venv=False)
    found = find(path)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "python3 (3.9, too old)" in found.stderr
    assert "python3.12-venv" in found.stderr
    assert "PYTHON=" in found.stderr


def test_a_named_python_is_not_replaced(path: Path) -> None:
    """Who names one is told that it does not do, rather than given another."""
    put(path, "python3.12", "3.12", fits=True)
    old = put(path, "old", "3.8", fits=False)
    found = find(path, PYTHON=str(old))
    assert found.returncode == 1
    assert "3.8, too old" in found.stderr


def test_the_python_of_the_environment_stays(path: Path) -> None:
    """A newer Python that appears on the machine does not rebuild an environment that works."""
    put(path, "python3.13", "3.13", fits=True)
    kept = put(path, "kept", "3.11", fits=True)
    (path.parent / ".venv").mkdir()
    (path.parent / ".venv" / "pyvenv.cfg").write_text(f"home = {path}\nexecutable = {kept}\n", encoding="utf-8")
    assert find(path).stdout.strip() == str(kept)
    kept.unlink()
    assert find(path).stdout.strip() == "python3.13"


def test_a_path_may_have_spaces(path: Path) -> None:
    """A Python in a folder whose name has a space in it is one candidate, not two."""
    folder = path / "my pythons"
    folder.mkdir()
    named = put(folder, "python", "3.12", fits=True)
    assert find(path, PYTHON=str(named)).stdout.strip() == str(named)
