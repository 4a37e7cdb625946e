"""Fixtures of the tests that run processes of the package."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def source_tree_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes begun by the tests find the package whether it is installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
