"""Each import contract of pyproject.toml can fail: a small tree breaks all of them, and each one says so."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.architecture.source import ROOT

ROOMS: Mapping[str, str] = MappingProxyType(
    {
        "gateway/__init__.py": "",
        "gateway/app.py": "import gateway.config, gateway.server, gateway.broker, local_models.catalog",
        "gateway/server/__init__.py": "import fastapi\nimport starlette",
        "gateway/broker.py": "import gateway.gate\nimport gateway.types",
        "gateway/gate/__init__.py": "import gateway.types",
        "gateway/backends/__init__.py": "",
        "gateway/backends/local.py": "import aiohttp",
        "gateway/cli/__init__.py": "import httpx",
        "gateway/config/__init__.py": "",
        "gateway/types.py": "import gateway.errors",
        "gateway/errors.py": "",
        "local_models/__init__.py": "",
        "local_models/catalog.py": "import httpx\nimport local_models.process",
        "local_models/process.py": "",
        "local_models/llama/__init__.py": "",
        "local_models/llama/http.py": "import starlette",
    }
)
"""A tree that keeps every contract."""

Offences = Mapping[str, tuple[str, str]]
"""Contract → the file, and what is added to it, to break that contract and no other of the same tree."""

TREES: tuple[Offences, ...] = (
    MappingProxyType(
        {
            "one-way": ("gateway/gate/__init__.py", "import gateway.backends"),
            "no-cycles": ("local_models/process.py", "import local_models.catalog"),
            "config-readers": ("gateway/broker.py", "import gateway.config"),
            "request-path-client": ("gateway/types.py", "import aiohttp"),
            "off-path-client": ("gateway/backends/local.py", "import httpx"),
        }
    ),
    MappingProxyType(
        {
            "one-way": ("gateway/attic.py", ""),
            "engines-know-no-gateway": ("local_models/process.py", "import gateway.errors"),
            "fastapi-at-the-edge": ("gateway/broker.py", "import fastapi"),
            "starlette-at-the-edges": ("gateway/gate/__init__.py", "import starlette"),
            "request-path-client": ("local_models/catalog.py", "import aiohttp"),
        }
    ),
    MappingProxyType(
        {
            "one-way": ("gateway/errors.py", "import gateway.backends"),
            "engine-starters": ("gateway/gate/__init__.py", "import local_models.catalog"),
        }
    ),
)


VERDICT = re.compile(r"^(.+) (KEPT|BROKEN)\b", re.MULTILINE)


def contracts() -> dict[str, str]:
    """The contracts' names by identifier."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract["name"] for contract in tables["tool"]["importlinter"]["contracts"]}


def plant(root: Path, additions: Mapping[str, str]) -> None:
    """Write the tree, with a line added to some of its files, beside the project's own contracts."""
    shutil.copy(ROOT / "pyproject.toml", root)
    for name in {*ROOMS, *additions}:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{ROOMS.get(name, '')}\n{additions.get(name, '')}\n", encoding="utf-8")


def broken_contracts(root: Path) -> set[str]:
    """Identifiers of the contracts that the tree breaks."""
    command = (str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    verdicts = dict(VERDICT.findall(done.stdout))
    assert set(verdicts) == set(contracts().values())
    return {key for key, name in contracts().items() if verdicts[name] == "BROKEN"}


def test_a_tree_in_order_breaks_nothing(tmp_path: Path) -> None:
    """What DESIGN allows passes: app, cli and the adapters may import what they are there for."""
    plant(tmp_path, {})
    assert broken_contracts(tmp_path) == set()


@pytest.mark.parametrize("number", range(len(TREES)))
def test_the_contracts_can_fail(number: int, tmp_path: Path) -> None:
    """Each offence breaks the contract it is listed under, and no other contract breaks."""
    plant(tmp_path, dict(TREES[number].values()))
    assert broken_contracts(tmp_path) == set(TREES[number])


def test_every_contract_is_tried() -> None:
    """No contract is added without an offence that breaks it."""
    assert {contract for offences in TREES for contract in offences} == set(contracts())
