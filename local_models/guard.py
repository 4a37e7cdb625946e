"""Runs one program and leaves nothing of it behind: `python -I guard.py HOST_PID PROGRAM WORD…`, by file name.

vLLM's API server begins processes of its own, which hold the GPU. They outlive it when it is killed, and no signal at
the death of a parent reaches them. This process stands between the engine host and the program:

    the program ends         all that descends from it is killed, then this process ends as the program did
    the host dies            all of it is killed at once
    SIGTERM, SIGINT          go to the program alone, which has its own order of ending its children
    this process is killed   the host sweeps its session, which the program and its children belong to

Nothing but the standard library is imported: its environment is the program's.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_WATCHED: Final = frozenset((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
_HOST_DIED: Final = signal.SIGHUP
_NOT_STARTED: Final = 127
# A process in the middle of a driver's call cannot be killed; the host finds it and says so.
_KILL_S: Final = 5.0
_POLL_S: Final = 0.05


def main(words: Sequence[str]) -> int:
    """Run the program until it ends, or the host does; the exit status, negative for a signal."""
    host, *command = words
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    _control(_PR_SET_CHILD_SUBREAPER, 1)
    _control(_PR_SET_PDEATHSIG, _HOST_DIED)
    if os.getppid() != int(host):
        return -_HOST_DIED
    try:
        # In a group of its own: a signal to this process' group reaches the program once, through this process.
        program = os.posix_spawnp(command[0], command, os.environ, setpgroup=0, setsigmask=())
    except OSError as error:
        sys.stderr.write(f"forebay engine: cannot start {command[0]}: {error.strerror}\n")
        return _NOT_STARTED
    status = _wait(program)
    _kill_descendants()
    return status


def _control(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _wait(program: int) -> int:
    while True:
        match signal.sigwait(_WATCHED):
            case signal.SIGCHLD:
                for pid, status in _reaped():
                    if pid == program:
                        return status
            case signal.SIGHUP:
                return -_HOST_DIED
            case number:
                os.kill(program, number)


def _reaped() -> Iterator[tuple[int, int]]:
    """Children that have ended, those of dead children among them: they have become ours."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _kill_descendants() -> None:
    """Whoever is killed leaves its own children to us, so that in the end all of them have been."""
    end = time.monotonic() + _KILL_S
    while (children := _children()) and time.monotonic() < end:
        for child in children:
            os.kill(child, signal.SIGKILL)
        signal.sigtimedwait((signal.SIGCHLD,), _POLL_S)
        for _ in _reaped():
            pass


def _children() -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field is the command in parentheses and may itself contain spaces and parentheses.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found


def _end(status: int) -> None:
    """End as the program did, by the same signal if it was one."""
    if status >= 0:
        sys.exit(status)
    number = signal.Signals(-status)
    if number is not signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    _end(main(sys.argv[1:]))
