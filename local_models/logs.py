"""An engine's own log: what it prints, in files of bounded size, and its last words for a person to read."""

import os
import re
from collections import deque
from pathlib import Path
from typing import BinaryIO, Final

_LIMIT: Final = 10_000_000
_KEEP: Final = 2
_LINE_LIMIT: Final = 400
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
# How our own engine begins the one line that says what is wrong; a library may print more after it.
_OWN_WORDS: Final = "forebay engine: "


class EngineLog:
    """`path`, `path.1`, `path.2`: newest first, each of at most `limit` bytes and one write.

    A full disk costs log lines, never the engine: what cannot be written is counted and said when it can.
    """

    def __init__(self, path: Path, limit: int = _LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._file: BinaryIO | None = None
        self._lost = 0
        self._unfinished = b""
        self._tail: deque[str] = deque(maxlen=20)

    def begin(self, heading: str) -> None:
        """A new launch: the last words of the former one are not its."""
        self._tail.clear()
        self._unfinished = b""
        self._append(f"--- {heading}\n".encode())

    def write(self, output: bytes) -> None:
        """Add what the engine printed, as it came."""
        *lines, self._unfinished = (self._unfinished + output).split(b"\n")
        self._unfinished = self._unfinished[-_LINE_LIMIT * 4 :]
        self._tail.extend(text for line in lines if (text := one_line(line.decode(errors="replace"))))
        self._append(output)

    @property
    def last_line(self) -> str:
        """The line that most likely says why the engine ended; empty when it said nothing."""
        unfinished = one_line(self._unfinished.decode(errors="replace"))
        said = [*self._tail, *([unfinished] if unfinished else [])]
        own = [line for line in said if line.startswith(_OWN_WORDS)]
        return (own or said or [""])[-1]

    def close(self) -> None:
        """Let go of the file; a later write opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, output: bytes) -> None:
        note = f"--- {self._lost} bytes could not be written here\n".encode() if self._lost else b""
        try:
            file = self._file if self._file is not None else self._open()
            if file.tell() + len(output) > self._limit and file.tell() > 0:
                file = self._rotate()
            written = file.write(note + output)
        except OSError:
            self._lost += len(output)
        else:
            self._lost = len(note + output) - written

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        return self._file

    def _rotate(self) -> BinaryIO:
        self.close()
        files = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(_KEEP))]
        for older, newer in zip(reversed(files), reversed(files[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        return self._open()


def one_line(text: str) -> str:
    """`text` fit for one line of a table: nothing that moves the cursor, not endless."""
    plain = _COLOUR.sub("", text[: _LINE_LIMIT * 4])
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in plain).strip()[:_LINE_LIMIT]
