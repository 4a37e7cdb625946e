"""Processes by identity, and the record that outlives a killed host."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from local_models.proctable import Identity, boot_id, family, identify, kill_exactly, session_members, sweep
from local_models.roster import Roster, reconcile

PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)"), %s)
print(child.pid, flush=True)
time.sleep(600)
"""


@contextmanager
def parent(child: str = "process_group=0") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that leads a session, and its child in a process group of its own there, or in a session:
    (leader, child's pid).
    """
    words = (sys.executable, "-c", PARENT % child)
    leader = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with leader:
        members: tuple[Identity, ...] = ()
        try:
            assert leader.stdout is not None
            grown = int(leader.stdout.readline())
            members = family(leader.pid)
            yield leader, grown
        finally:
            for member in members:
                kill_exactly(member)


def test_a_process_is_known_by_pid_and_start_time() -> None:
    """The start time is that of the kernel, in ticks since boot; a pid without a process is nobody."""
    mine = identify(os.getpid())
    assert mine is not None
    boot = psutil.boot_time()
    assert abs(boot + mine.start / os.sysconf("SC_CLK_TCK") - psutil.Process().create_time()) < 1.5
    assert identify(2**22 + 1) is None
    assert boot_id()


async def test_a_sweep_ends_a_whole_session(tmp_path: Path) -> None:
    """Leader and child are gone, although one ignores SIGTERM and the other left the process group."""
    with parent() as (leader, child):
        assert {member.pid for member in session_members(leader.pid)} == {leader.pid, child}
        assert await sweep(leader.pid, 10.0) == ()
        assert identify(child) is None
        assert leader.wait(10) == -9


def test_only_the_very_process_is_killed() -> None:
    """The same pid with another start time is somebody else and stays."""
    with parent() as (leader, _):
        found = identify(leader.pid)
        assert found is not None
        kill_exactly(Identity(found.pid, found.start + 1))
        assert identify(leader.pid) == found
        kill_exactly(found)
        assert leader.wait(10) == -9
    kill_exactly(found)


async def test_what_a_killed_host_left_is_ended_and_forgotten(tmp_path: Path) -> None:
    """A recorded process that still runs is ended with its session, once."""
    record = tmp_path / "engines.json"
    with parent() as (leader, child):
        Roster(record).add("small", leader.pid)
        assert await reconcile(record) == (f"engine small (process {leader.pid}) of an earlier host was ended",)
        assert await asyncio.to_thread(leader.wait, 10) == -9
        assert identify(child) is None
    assert await reconcile(record) == ()


async def test_a_session_is_known_by_whom_of_it_was_seen(tmp_path: Path) -> None:
    """Its leader has been killed, and nobody has looked since: all of it is ended."""
    record = tmp_path / "engines.json"
    with parent() as (leader, child):
        roster = Roster(record)
        roster.add("gpu", leader.pid)
        roster.see("gpu", family(leader.pid))
        leader.kill()
        await asyncio.to_thread(leader.wait, 10)
        assert identify(child) is not None
        assert await reconcile(record) == (f"engine gpu (process {leader.pid}) of an earlier host was ended",)
        assert identify(child) is None


async def test_who_has_left_the_session_is_of_the_family(tmp_path: Path) -> None:
    """Found by its parent, and, once that is dead, by having been seen: then nobody of the session is touched."""
    record = tmp_path / "engines.json"
    with parent("start_new_session=True") as (leader, child):
        assert [member.pid for member in family(leader.pid)] == sorted((leader.pid, child))
        roster = Roster(record)
        roster.add("gpu", leader.pid)
        roster.see("gpu", family(leader.pid))
        leader.kill()
        await asyncio.to_thread(leader.wait, 10)
        assert await reconcile(record) == (f"engine gpu (process {leader.pid}) of an earlier host was ended",)
        assert identify(child) is None


async def test_a_session_of_which_nobody_was_seen_is_left_alone(tmp_path: Path) -> None:
    """Its leader's number may have been given to somebody else meanwhile."""
    record = tmp_path / "engines.json"
    with parent() as (leader, child):
        Roster(record).add("gpu", leader.pid)
        leader.kill()
        await asyncio.to_thread(leader.wait, 10)
        assert await reconcile(record) == ()
        assert identify(child) is not None


async def test_a_process_that_only_got_the_number_is_left_alone(tmp_path: Path) -> None:
    """Another start time, or another run of the kernel: not ours, whatever its pid."""
    record = tmp_path / "engines.json"
    with parent() as (leader, _):
        Roster(record).add("small", leader.pid)
        honest = record.read_bytes()
        told = msgspec.json.decode(honest)
        for changed in (
            {**told, "boot_id": "another"},
            {**told, "engines": [{**told["engines"][0], "start": told["engines"][0]["start"] - 1}]},
        ):
            record.write_bytes(msgspec.json.encode(changed))
            assert await reconcile(record) == ()
            assert identify(leader.pid) is not None


async def test_an_engine_that_has_gone_is_no_longer_recorded(tmp_path: Path) -> None:
    """After `drop` the next host has nothing to look for."""
    record = tmp_path / "engines.json"
    with parent() as (leader, _):
        roster = Roster(record)
        roster.add("small", leader.pid)
        roster.drop("small")
        assert await reconcile(record) == ()
        assert identify(leader.pid) is not None


async def test_a_record_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    """Absent or damaged: nothing to reconcile."""
    assert await reconcile(tmp_path / "absent.json") == ()
    (tmp_path / "damaged.json").write_text('{"boot_id": 3')
    assert await reconcile(tmp_path / "damaged.json") == ()
