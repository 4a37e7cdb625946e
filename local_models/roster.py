"""`<home>/run/engines.json`: which engine processes this host has begun, for the host after it.

Engines die with their host by themselves. This is the second line, for those that do not: the next host ends what
the last one left, and only that.
"""

import logging
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from local_models.durable import write_atomically
from local_models.proctable import boot_id, identify, sweep

_SWEEP_S: Final = 5.0
_log = logging.getLogger(__name__)


class Entry(Struct, frozen=True):
    """One engine process; it leads a session and a process group of its own."""

    name: str
    pid: int
    pgid: int
    start: int
    """Clock ticks between boot and its start."""


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
    """End what an earlier host left, then forget it; one line per engine that was still there.

    A process counts as left only if pid and start time match in the same run of the kernel.
    """
    left = _left(path)
    report = []
    for entry in left.engines if left.boot_id == boot_id() else ():
        process = identify(entry.pid)
        if process is None or process.start != entry.start:
            continue
        stubborn = await sweep(entry.pgid, _SWEEP_S)
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
