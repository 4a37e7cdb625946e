"""Children speak into a log, and none outlives the set-up that started it."""

import os
import threading
import time
from pathlib import Path

import pytest

from scripts.tooling.command import TAIL_WIDTH, Log

WAIT_S = 10


def is_running(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be collected does not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_ends(pid: int) -> None:
    """The process ends soon: a killed one takes the kernel a moment."""
    deadline = time.monotonic() + WAIT_S
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        threading.Event().wait(0.01)


def test_status_lines_and_log(tmp_path: Path) -> None:
    """The exit status comes back, each line is heard as it comes, and both streams are in the log."""
    log = Log(tmp_path / "log")
    heard: list[str | None] = []
    status = log.run(
        ["bash", "-c", "echo one; echo two >&2; exit 3"], env=dict(os.environ), cwd=tmp_path, on_line=heard.append
    )
    assert status == 3
    assert [line for line in heard if line] == ["one", "two"]
    assert log.tail()[-2:] == ("one", "two")


def test_a_tail_is_readable(tmp_path: Path) -> None:
    """Long lines are cut: a compiler's command line would fill the screen."""
    log = Log(tmp_path / "log")
    log.run(["bash", "-c", "printf 'x%.0s' {1..5000}"], env=dict(os.environ), cwd=tmp_path)
    assert len(log.tail()[-1]) == TAIL_WIDTH


def test_a_signal_is_a_negative_status(tmp_path: Path) -> None:
    """A child that a signal ended is told apart from one that exited."""
    status = Log(tmp_path / "log").run(["bash", "-c", "kill -9 $$"], env=dict(os.environ), cwd=tmp_path)
    assert status == -9


def test_an_interrupt_ends_all_descendants(tmp_path: Path) -> None:
    """Whoever interrupts a compile is not left with compilers in the background."""
    pids: list[int] = []

    def interrupt(line: str | None) -> None:
        if line:
            pids.append(int(line))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Log(tmp_path / "log").run(
            ["bash", "-c", "sleep 300 & echo $!; wait"], env=dict(os.environ), cwd=tmp_path, on_line=interrupt
        )
    assert len(pids) == 1
    assert_ends(pids[0])
