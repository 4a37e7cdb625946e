"""Runs a child into a log, line by line, and never leaves its descendants behind."""

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TAIL_LINES = 15
TAIL_WIDTH = 200
POLL_S = 0.2
GRACE_S = 5.0


class SetupError(Exception):
    """Set-up cannot go on. `advice` is what to do about it; `log` and `tail` show what the child said."""

    def __init__(
        self, message: str, *, advice: str | None = None, log: Path | None = None, tail: tuple[str, ...] = ()
    ) -> None:
        """`message` is one sentence for the person; the rest may be missing."""
        super().__init__(message)
        self.advice = advice
        self.log = log
        self.tail = tail


class Log:
    """The file into which children speak."""

    def __init__(self, path: Path) -> None:
        """Nothing is touched before `clear` or `run`."""
        self.path = path

    def clear(self) -> None:
        """Begin anew."""
        self.path.write_bytes(b"")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        on_line: Callable[[str | None], None] = lambda _line: None,
    ) -> int:
        """Run `argv` to its end and return its exit status; negative is the signal that ended it.

        `on_line` sees each line, or None when nothing came for a moment.
        Whatever ends this call early, an interrupt included, first ends the child and all its descendants:
        half a compiler must not go on in the background.
        """
        with self.path.open("ab", buffering=0) as log:
            log.write(f"$ {' '.join(map(str, argv))}\n".encode())
            child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
            try:
                self._pump(child, log.write, on_line)
                return child.wait()
            except BaseException:
                end_group(child)
                raise

    def lines(self) -> tuple[str, ...]:
        """All lines, without blank ones."""
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        return tuple(line.rstrip() for line in lines if line.strip())

    def tail(self) -> tuple[str, ...]:
        """The last few of them, cut to a readable width: a compiler's command line fills a screen."""
        return tuple(line[:TAIL_WIDTH] for line in self.lines()[-TAIL_LINES:])

    def _pump(
        self,
        child: subprocess.Popen[bytes],
        write: Callable[[bytes], int],
        on_line: Callable[[str | None], None],
    ) -> None:
        if child.stdout is None:
            raise SetupError("the child has no output to read")
        partial = b""
        with child.stdout as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while True:
                if not selector.select(POLL_S):
                    on_line(None)
                    continue
                chunk = os.read(stream.fileno(), 65_536)
                if not chunk:
                    return
                write(chunk)
                *lines, partial = (partial + chunk).split(b"\n")
                for line in lines:
                    on_line(line.decode("utf-8", errors="replace"))


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child that leads its own session, and all of its group: politely, then not."""
    for kind, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        try:
            os.killpg(child.pid, kind)
            child.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
