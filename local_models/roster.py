"""`<home>/run/engines.json`: which engine processes this host has begun, for the host after it.

Engines die with their host by themselves. This is the second line, for those that do not: the next host ends what
the last one left, and only that.
"""

import logging
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from local_models.durable import write_atomically
from local_models.proctable import Identity, boot_id, identify, is_of_session, sweep

_SWEEP_S: Final = 5.0
_log = logging.getLogger(__name__)


class Entry(Struct, frozen=True):
    """One engine process; it leads a session and a process group of its own."""

    name: str
    pid: int
    pgid: int
    start: int
    """Clock ticks between boot and its start."""
    family: tuple[Identity, ...] = ()
    """What it has begun itself, when that was last looked at."""

    @property
    def known(self) -> tuple[Identity, ...]:
        """Processes that are certainly its own, if they live."""
        return (Identity(self.pid, self.start), *self.family)


class _File(Struct, frozen=True):
    boot_id: str
    engines: tuple[Entry, ...]


class Roster:
    """The record of engine processes at work."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, pid: int) -> None:
        """Record a process that was just begun."""
        if (process := identify(pid)) is not None:
            self._entries[name] = Entry(name, pid, pid, process.start)
            self._write()

    def see(self, name: str, family: tuple[Identity, ...]) -> None:
        """Record what a process has begun in turn: it may outlive the process, and this host."""
        entry = self._entries.get(name)
        if entry is not None and entry.family != family:
            self._entries[name] = replace(entry, family=family)
            self._write()

    def drop(self, name: str) -> None:
        """Its process is gone, and all of its session."""
        if self._entries.pop(name, None) is not None:
            self._write()

    def _write(self) -> None:
        content = _File(boot_id(), tuple(self._entries.values()))
        try:
            write_atomically(self._path, msgspec.json.encode(content))
        except OSError as error:
            # A full disk must not take the engines down.
            _log.warning("cannot record engine processes in %s: %s", self._path, error)


async def reconcile(path: Path) -> tuple[str, ...]:
    """End what an earlier host left, then forget it; one line per engine of which something was still there.

    A process counts as left only if pid and start time match in the same run of the kernel. All of a session is left
    if one of it is, its leader or another that was recorded.
    """
    left = _left(path)
    report = []
    for entry in left.engines if left.boot_id == boot_id() else ():
        still = [process for process in entry.known if identify(process.pid) == process]
        if not still:
            continue
        session = entry.pgid if any(is_of_session(process, entry.pgid) for process in still) else None
        stubborn = await sweep(session, _SWEEP_S, still)
        outcome = f"could not be ended (left: {', '.join(map(str, stubborn))})" if stubborn else "was ended"
        report.append(f"engine {entry.name} (process {entry.pid}) of an earlier host {outcome}")
    _forget(path)
    return tuple(report)


def _left(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except (FileNotFoundError, msgspec.DecodeError):
        return _File("", ())


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
