"""Processes by identity, not by number: a pid is reused, a pid with its start time is not.

Reads Linux's /proc (proc(5)). Elsewhere start times are unknown and a session's members are those that its
process group answers for, so reconciling leftovers of a killed host ends nothing there.
"""

import asyncio
import os
import signal
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
    found = []
    for pid in (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()):
        stat = _stat(pid)
        if stat is not None and leader in (stat.group, stat.session) and stat.state not in _DEAD:
            found.append(Identity(pid, stat.start))
    return tuple(found)


def signal_group(leader: int, number: signal.Signals) -> None:
    """Signal the process group that `leader` began; nothing happens when it is gone or not ours any more."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


async def sweep(leader: int, limit: float) -> tuple[int, ...]:
    """SIGKILL every member of the session that `leader` began; the pids that are still there `limit` seconds later.

    Only for a session that is known to be ours.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit
    while members := session_members(leader):
        if loop.time() >= end:
            return tuple(sorted(member.pid for member in members))
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


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the command in parentheses and may itself contain spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], group=int(fields[2]), session=int(fields[3]), start=int(fields[19]))


def _group_answers(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True
