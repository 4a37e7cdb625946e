"""The bans of pyproject.toml can fail, and a place exempt from them is exempt for a few names only.

ruff knows one exemption per file, for all bans together; here each place is held to the names it has a reason for.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.architecture.source import ROOT

PROCESSES = ("subprocess", "asyncio.create_subprocess_exec", "os.environ")

ALLOWED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gateway/config/**": ("os.environ",),
        # Its daemon outlives its parent by a double fork; its pulls block a command, never a loop.
        "local_models/**": (*PROCESSES, "os.fork", "time.sleep"),
        "scripts/**": PROCESSES,
        "tests/**": PROCESSES,
    }
)
"""For each place that pyproject.toml exempts, the banned names that it may use after all."""


@pytest.fixture(scope="module")
def lint() -> Mapping[str, Any]:
    """ruff's settings."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings: Mapping[str, Any] = tables["tool"]["ruff"]["lint"]
    return settings


def banned_uses(*words: str, stdin: str | None = None) -> list[tuple[str, str, int]]:
    """File, name and line of each use of a banned name, exemptions and noqa comments left aside."""
    ruff = str(Path(sys.executable).parent / "ruff")
    command = [ruff, "check", "--select", "TID251", "--ignore-noqa", "--no-cache", "--exit-zero"]
    command += ["--config", "lint.per-file-ignores = {}", "--output-format", "json", *words]
    found = subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=True, timeout=60)
    return [
        (
            Path(use["filename"]).resolve().relative_to(ROOT).as_posix(),
            use["message"].partition("`")[2].partition("`")[0],
            use["location"]["row"],
        )
        for use in json.loads(found.stdout)
    ]


def test_every_ban_can_fail(lint: Mapping[str, Any]) -> None:
    """A use of each banned name is found, and its message gives a reason."""
    bans = lint["flake8-tidy-imports"]["banned-api"]
    names = list(bans)
    sample = "\n".join(f"import {name.partition('.')[0]}\n{name}" for name in names)
    found = {name for _, name, _ in banned_uses("--stdin-filename", "gateway/sample.py", "-", stdin=sample)}
    assert found == set(names)
    assert all(len(ban["msg"]) > 30 for ban in bans.values())


def test_an_import_of_a_banned_name_is_found() -> None:
    """`from os import environ` is the same thing under another spelling."""
    sample = "from os import environ\nfrom unittest import mock\nimport subprocess as sub\n"
    found = {name for _, name, _ in banned_uses("--stdin-filename", "gateway/sample.py", "-", stdin=sample)}
    assert found == {"os.environ", "unittest.mock", "subprocess"}


def test_exempt_places_are_those_with_a_reason(lint: Mapping[str, Any]) -> None:
    """Nobody becomes exempt without a line in the table of this test."""
    exempt = {place for place, rules in lint["per-file-ignores"].items() if "TID251" in rules}
    assert exempt == set(ALLOWED)


def test_no_place_uses_more_than_it_may() -> None:
    """An exemption for one name opens the door to no other."""
    wrong = [
        f"{file}:{line}: {name}"
        for file, name, line in banned_uses(".")
        if name not in next((names for place, names in ALLOWED.items() if fnmatch(file, place)), ())
    ]
    assert not wrong, "\n".join(wrong)
