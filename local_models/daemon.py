"""Leaving the process that started us: fork, a session of our own, output into a log."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_LOG_LIMIT: Final = 5_000_000


def become_daemon(run: Callable[[Callable[[], None]], int], log: Path) -> int:
    """Run `run(ready)` in a process that outlives this one and its terminal.

    Here it returns 0 as soon as `ready` was called, else the exit code of `run`. Standard output goes to `log`,
    standard error too once ready; until then it stays, so that the caller sees why nothing came of it.
    """
    # What the caller's event loop left open for us (uvloop does) would stay open as long as we live.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    reader, writer = os.pipe()
    # Nothing has begun a thread yet, so the fork is safe.
    child = os.fork()
    if child != 0:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            if pipe.read():
                return 0
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    os.close(reader)
    os.setsid()
    output = _open_log(log)
    os.dup2(output, sys.stdout.fileno())

    def ready() -> None:
        os.dup2(output, sys.stderr.fileno())
        os.write(writer, b"ready")
        os.close(writer)

    return run(ready)


def _open_log(log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
