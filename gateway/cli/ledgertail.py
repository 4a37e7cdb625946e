"""Rows of a ledger that grows: also before there is one, and across gateways that stop and start."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

from gateway.ledger import LedgerReader, LedgerUnusable
from gateway.ledger.reading import LoggedRequest, Wanted

_POLL_S = 0.25
_AT_ONCE = 500
# A gateway that starts or stops may have the file to itself for a moment.
_VAIN_LOOKS = 20


def newest(path: Path, wanted: Wanted, last: int) -> tuple[LoggedRequest, ...]:
    """The last rows, oldest first; none where there is no ledger. Raises LedgerUnusable."""
    with LedgerReader.reading(path) as ledger:
        return () if ledger is None else ledger.last(last, wanted)


def followed(path: Path, wanted: Wanted, last: int) -> Iterator[LoggedRequest]:
    """The last rows and then every one that comes, for ever. Raises LedgerUnusable.

    The file is opened anew at each look, so that one that was replaced is not missed, and nothing is held meanwhile.
    """
    seen, file = 0, None
    with LedgerReader.reading(path) as ledger:
        if ledger is not None:
            with ledger.snapshot():
                rows, seen, file = ledger.last(last, wanted), ledger.newest(), _identity(path)
            yield from rows
    pause, vain = Event(), 0
    while True:
        try:
            fresh, seen, file = _fresh(path, wanted, seen, file)
            vain = 0
        except LedgerUnusable:
            fresh, vain = (), vain + 1
            if vain == _VAIN_LOOKS:
                raise
        yield from fresh
        if len(fresh) < _AT_ONCE:
            pause.wait(_POLL_S)


def _fresh(
    path: Path, wanted: Wanted, seen: int, file: tuple[int, int] | None
) -> tuple[tuple[LoggedRequest, ...], int, tuple[int, int] | None]:
    """What has come, up to which row that is all, and of which file."""
    with LedgerReader.reading(path) as ledger:
        if ledger is None:
            return (), seen, file
        present = _identity(path)
        with ledger.snapshot():
            newest = ledger.newest()
            # Another file, or the same emptied: its rows are counted from one again.
            seen = 0 if present != file or newest < seen else seen
            rows = ledger.after(seen, wanted, _AT_ONCE)
        return rows, rows[-1].id if len(rows) == _AT_ONCE else newest, present


def _identity(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino
