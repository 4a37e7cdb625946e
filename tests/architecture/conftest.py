"""The project is read once for all rules."""

import pytest

from tests.architecture.source import SourceTree, read_tree


@pytest.fixture(scope="session")
def tree() -> SourceTree:
    """The project as it stands."""
    return read_tree()
