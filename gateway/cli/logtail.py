"""Lines of a file that grows, is cut or is replaced by another, and of a stream."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from threading import Event
from typing import IO, TextIO

_POLL_S = 0.25
_READ = 1 << 16


@contextmanager
def lines_of(path: Path, *, follow: bool) -> Iterator[tuple[Iterator[str], Iterator[str]]]:
    """The whole lines that are in the file, and those that come; the latter end at once without `follow`.

    Take the first to its end before the second. A file that was rotated is read to its end, then the new one from its
    beginning; one that was cut in its place is read from its beginning when it is found shorter than before. Raises
    OSError where there is no file at the start, and in the block.
    """
    tail = _Tail(path)
    try:
        yield tail.there(), tail.coming() if follow else iter(())
    finally:
        tail.close()


def lines_of_stream(stream: TextIO) -> Iterator[str]:
    """Each line as soon as it is there."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    return (line.rstrip("\r\n") for line in iter(stream.readline, ""))


class _Tail:
    """One name of a file, whichever file has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = path.open("rb")
        self._rest = b""
        self._pause = Event()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def there(self) -> Iterator[str]:
        """Up to the end, as it is now."""
        yield from self._read()

    def coming(self) -> Iterator[str]:
        """For ever."""
        while True:
            yield from self._read()
            if not self._current():
                yield from self._read()  # what was written between our last look and the rotation
                self._reopen()
            else:
                self._pause.wait(_POLL_S)

    def _read(self) -> Iterator[str]:
        while self._file is not None and (chunk := self._file.read(_READ)):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip("\r") for line in lines)

    def _current(self) -> bool:
        """Whether the name still means this file, and the file is at least as long as what was read of it."""
        if self._file is None:
            return not self._path.exists()
        try:
            named, ours = self._path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return True  # moved away, and nothing new yet: who writes may still write to this one
        return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino) and ours.st_size >= self._file.tell()

    def _reopen(self) -> None:
        self.close()
        self._rest = b""
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._file = None
