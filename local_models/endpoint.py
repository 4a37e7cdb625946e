"""Where the engine host of a home listens.

<home>/run/             mode 0700
    host.lock           held by the host as long as it lives
    engines.sock        mode 0600
    engines.sock.path   instead, if that path were too long for a unix socket: the path used, in a folder
                        of ours under the system's temporary directory
    engines.json        see `roster`
"""

import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

from local_models.durable import write_atomically
from local_models.errors import HostError

# sun_path has 108 bytes on Linux and 104 on macOS, its closing NUL included.
_PATH_LIMIT: Final = 103


def prepare_run_folder(home: Path) -> Path:
    """`<home>/run`, for this user only."""
    run = home / "run"
    run.mkdir(parents=True, exist_ok=True)
    run.chmod(0o700)
    return run


def lock_path(home: Path) -> Path:
    """The file that the host of this home holds locked."""
    return home / "run" / "host.lock"


def roster_path(home: Path) -> Path:
    """Where engine processes are recorded."""
    return home / "run" / "engines.json"


def host_log_path(home: Path) -> Path:
    """What the host itself has to say."""
    return home / "logs" / "engine-host.log"


def find_socket(home: Path) -> Path:
    """Where a host of this home listens, if there is one."""
    direct = _direct(home)
    if _fits(direct):
        return direct
    try:
        return Path(os.fsdecode(_pointer(home).read_bytes()))
    except FileNotFoundError:
        return direct


def listen(home: Path) -> tuple[socket.socket, Path]:
    """Listen where clients of this home look. Only for the holder of the lock. Raises OSError or HostError."""
    path = _direct(home)
    if not _fits(path):
        path = _short(home)
        write_atomically(_pointer(home), os.fsencode(path))
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener, path


def _direct(home: Path) -> Path:
    return home / "run" / "engines.sock"


def _pointer(home: Path) -> Path:
    return home / "run" / "engines.sock.path"


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _PATH_LIMIT


def _short(home: Path) -> Path:
    folder = Path(tempfile.gettempdir()) / f"forebay-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # The temporary directory is everybody's: somebody else may have made the folder first, or put a link there.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise HostError(f"{folder} is not a folder of this user with mode 0700: remove it, or use a shorter home")
    return folder / f"{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}.sock"
