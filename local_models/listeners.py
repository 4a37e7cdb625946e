"""Which process listens on a port of this box: by Linux's /proc (proc(5)), which tells it of one's own processes."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

_PROC: Final = Path("/proc")
_LISTENS: Final = "0A"
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


class Listener(Struct, frozen=True):
    """A process that listens."""

    pid: int
    command: tuple[str, ...]


def listener(port: int) -> Listener | None:
    """Who listens on this TCP port, on whatever address; None where nobody does or nobody tells."""
    sockets = _sockets(port)
    if not sockets:
        return None
    for folder in _PROC.iterdir():
        if folder.name.isdecimal() and sockets & _open_sockets(folder):
            return Listener(int(folder.name), _command(folder))
    return None


def _sockets(port: int) -> set[str]:
    """The inodes of the sockets that listen on it."""
    found = set()
    for table in ("net/tcp", "net/tcp6"):
        for line in (_text(_PROC / table)).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _open_sockets(folder: Path) -> set[str]:
    found = set()
    with suppress(OSError):  # another user's, or it has just ended
        for descriptor in (folder / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                if socket := _SOCKET.fullmatch(str(descriptor.readlink())):
                    found.add(socket[1])
    return found


def _command(folder: Path) -> tuple[str, ...]:
    return tuple(word for word in _text(folder / "cmdline").split("\0") if word)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
