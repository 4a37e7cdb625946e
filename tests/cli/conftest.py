"""What tests of commands need when a command starts something: a data folder, and something that answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.calibrating import nothing_runs
from tests.faults.handle import FaultServer, fault_server


@pytest.fixture(scope="module")
def the_faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    """A fault server for this module."""
    with fault_server(tmp_path_factory.mktemp("faults")) as server:
        yield server


@pytest.fixture
def faults(the_faults: FaultServer) -> FaultServer:
    """The fault server without what other tests told it."""
    the_faults.reset()
    return the_faults


@pytest.fixture
def busy_home(tmp_path: Path) -> Iterator[Path]:
    """A data folder; nothing of it may be at work in the end."""
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    nothing_runs(folder)
