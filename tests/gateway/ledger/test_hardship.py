"""A process that is killed, and a disk that is full: real ones."""

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.ledger import SqliteLedger
from tests.e2e.books import Books
from tests.gateway.ledger.full import numbered

ROOT = Path(__file__).parents[3]
WITHIN_S = 60
OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")
FULL_DISK = r"""
disk=$1 && shift
mount -t tmpfs -o size=16m tmpfs "$disk" && head -c 16200000 /dev/zero > "$disk/ledger.sqlite.ballast" &&
"$@" && cp "$disk/ledger.sqlite" "$0"
"""
"""A file system of 16 MB that is nearly full; what was written there is copied out in the end."""


@contextmanager
def writing(path: Path, rows: int, batch: int, *before: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes a ledger, behind the words of another command; killed in the end if need be."""
    command = [*before, sys.executable, "-m", "tests.gateway.ledger.writer", str(path), str(rows), str(batch)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> str:
    """The next thing that the writer says; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def assert_whole(path: Path, least: int) -> int:
    """The file is intact, every request has its two attempts, and none is missing between; how many there are."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    found = [row["request_id"] for row in Books(path).requests()]
    assert found == [f"r-{number}" for number in range(len(found))]
    assert len(found) >= least
    assert [(row["request"], row["number"]) for row in Books(path).every_attempt()] == [
        (request, number) for request in range(1, len(found) + 1) for number in (1, 2)
    ]
    return len(found)


@pytest.mark.parametrize("batches", [1, 2, 5, 20])
def test_a_killed_process_leaves_what_was_on_disk(tmp_path: Path, batches: int) -> None:
    """SIGKILL at any moment: the file is whole, has all that was acknowledged, and the next process goes on with it."""
    path = tmp_path / "ledger.sqlite"
    with writing(path, 100_000, 40) as process:
        acknowledged = [int(told(process)) for _ in range(batches)][-1]
        process.send_signal(signal.SIGKILL)
        assert process.wait(WITHIN_S) == -signal.SIGKILL
        assert process.stdout is not None
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    assert acknowledged >= 40 * batches
    count = assert_whole(path, acknowledged)
    assert count < 100_000
    ledger = SqliteLedger(path)
    ledger.record(numbered(1)[0])
    ledger.close()
    assert len(Books(path).requests()) == count + 1


def survives(process: subprocess.Popen[str], make_room: Callable[[], None]) -> None:
    """A writer finds no room, is given some, and writes all that waited."""
    said = told(process)
    while said.isdecimal() and int(said) < 20_000:
        said = told(process)
    assert said == "failing"
    make_room()
    while said != "closed":
        said = told(process)
        assert said, "the writer has ended"


def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path) -> None:
    """The kernel refuses every byte beyond a limit; when the limit is gone, all that waited is written."""
    path = tmp_path / "ledger.sqlite"
    with writing(path, 20_000, 1000) as process:
        assert told(process) == "1000"
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1024 * 1024, hard))
        survives(process, lambda: _drop(process.pid, hard))
        assert process.wait(WITHIN_S) == 0
    assert assert_whole(path, 20_000) == 20_000


def _drop(pid: int, hard: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """No space left on a small file system of its own; when somebody tidies up, all that waited is written.

    That takes a user namespace, which some machines do not grant.
    """
    disk, copy = tmp_path / "disk", tmp_path / "copy.sqlite"
    disk.mkdir()
    may_mount = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if not shutil.which("unshare") or subprocess.run(may_mount, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no user namespace here; the test of a file that may not grow stands for it")
    before = (*OWN_MOUNTS, "sh", "-c", FULL_DISK, str(copy), str(disk))
    with writing(disk / "ledger.sqlite", 2_000, 100, *before) as process:
        survives(process, lambda: _tidy(process))
        assert process.wait(WITHIN_S) == 0
    assert assert_whole(copy, 2_000) == 2_000


def _tidy(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("make room\n")
    process.stdin.flush()
