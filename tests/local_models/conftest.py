"""Fixtures of the tests that run processes of the package."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.local_models.bench import host_in_foreground


@pytest.fixture(autouse=True)
def source_tree_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes begun by the tests find the package whether it is installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
async def fake_host_home(tmp_path: Path, source_tree_importable: None) -> AsyncIterator[Path]:
    """A home whose host launches fake engines."""
    async with host_in_foreground(tmp_path):
        yield tmp_path


@pytest.fixture
async def attaching_host_home(tmp_path: Path, source_tree_importable: None) -> AsyncIterator[Path]:
    """A home whose host launches no engines at all."""
    async with host_in_foreground(tmp_path, "--no-launchers"):
        yield tmp_path
