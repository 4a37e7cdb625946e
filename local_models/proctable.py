"""Processes by identity, not by number: a pid is reused, a pid with its start time is not.

Reads Linux's /proc (proc(5)). Elsewhere start times are unknown and a session's members are those that its
process group answers for, so reconciling leftovers of a killed host ends nothing there.
"""

import asyncio
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_POLL_S: Final = 0.02
_DEAD: Final = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for as long as the machine runs."""

    pid: int
    start: int
    """Clock ticks between boot and its start."""


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    group: int
    session: int
    start: int


def identify(pid: int) -> Identity | None:
    """The process that has this pid at present; None when there is none or the system does not tell."""
    stat = _stat(pid)
    return None if stat is None or stat.state in _DEAD else Identity(pid, stat.start)


def boot_id() -> str:
    """Names this run of the kernel; empty where the system does not tell."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def session_members(leader: int) -> tuple[Identity, ...]:
    """Living processes of the session or process group that `leader` began, also after its death."""
    if not _PROC.joinpath("self/stat").exists():
        return (Identity(leader, 0),) if _group_answers(leader) else ()
    return tuple(Identity(pid, stat.start) for pid, stat in _living().items() if leader in (stat.group, stat.session))


def is_of_session(process: Identity, leader: int) -> bool:
    """Whether this very process lives, in the session or process group that `leader` began.

    As long as one does, the number of that session belongs to nobody else.
    """
    stat = _stat(process.pid)
    if stat is None or stat.state in _DEAD or stat.start != process.start:
        return False
    return leader in (stat.group, stat.session)


def family(leader: int | None, known: Collection[Identity] = ()) -> tuple[Identity, ...]:
    """Living processes of the session that `leader` began, those `known`, and all that descend from one of either.

    Who has left the session is found as long as its parent lives, or by having been seen before.
    """
    living = _living()
    found = {
        pid
        for pid, stat in living.items()
        if (leader is not None and leader in (stat.group, stat.session)) or Identity(pid, stat.start) in known
    }
    fresh = found
    while fresh:
        fresh = {pid for pid, stat in living.items() if stat.parent in fresh} - found
        found |= fresh
    members = tuple(Identity(pid, living[pid].start) for pid in sorted(found))
    return members if living or leader is None else session_members(leader)


def signal_group(leader: int, number: signal.Signals) -> None:
    """Signal the process group that `leader` began; nothing happens when it is gone or not ours any more."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


async def sweep(leader: int | None, limit: float, known: Collection[Identity] = ()) -> tuple[int, ...]:
    """SIGKILL all of a family, see `family`; the pids that are still there `limit` seconds later.

    Only for a session that is known to be ours; None where there is none.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit
    seen = set(known)
    while members := family(leader, seen):
        if loop.time() >= end:
            return tuple(member.pid for member in members)
        # Whose parent is killed has nothing left that tells where it came from.
        seen.update(members)
        if leader is not None:
            signal_group(leader, signal.SIGKILL)
        for member in members:
            kill_exactly(member)
        await asyncio.sleep(_POLL_S)
    return ()


def kill_exactly(process: Identity) -> None:
    """SIGKILL this process and no other that may have got its number since."""
    if not hasattr(os, "pidfd_open"):
        return
    try:
        # The descriptor holds on to one process: if its start time is right, the signal cannot go astray any more.
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if identify(process.pid) == process:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def _living() -> dict[int, _Stat]:
    if not _PROC.joinpath("self/stat").exists():
        return {}
    stats = ((int(entry.name), _stat(int(entry.name))) for entry in _PROC.iterdir() if entry.name.isdecimal())
    return {pid: stat for pid, stat in stats if stat is not None and stat.state not in _DEAD}


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the command in parentheses and may itself contain spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return _Stat(
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        start=int(fields[19]),
    )


def _group_answers(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True
