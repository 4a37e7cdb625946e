"""The ledger in one SQLite file: WAL, synchronous=FULL, one writer thread, group commit.

`record` only hands the outcome over. The thread writes whatever has gathered meanwhile in one transaction, which
makes a row cost microseconds instead of an fsync. A disk that is full or a file that is locked loses nothing: the
rows wait in memory and are tried again.
"""

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from gateway.background import BackgroundBatches
from gateway.errors import ForebayError
from gateway.ledger.rows import ATTEMPTS, REQUESTS, SCHEMA_VERSION, Column, attempt_row, request_row
from gateway.outcome import Outcome

_GATHER_S = 0.02
_LOCK_WAIT_S = 5.0

_log = logging.getLogger("forebay.ledger")


class LedgerUnusable(ForebayError):
    """The file is no ledger, belongs to a newer version, or cannot be written."""


class SqliteLedger:
    """Writes outcomes to `path`. `close` returns when everything handed over is on disk."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises LedgerUnusable."""
        self._path = path
        self._failing = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise LedgerUnusable(f"cannot use the ledger {path}: {error}") from error
        self._batches: BackgroundBatches[Outcome] = BackgroundBatches("forebay-ledger", self._write, pause_s=_GATHER_S)

    @property
    def pending(self) -> int:
        """Outcomes handed over and not on disk yet."""
        return len(self._batches)

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._failing

    def record(self, outcome: Outcome) -> None:
        """Hand over; returns at once."""
        self._batches.add(outcome)

    def close(self) -> None:
        """Write what is left and close the file. Raises LedgerUnusable if it cannot be written."""
        left = self._batches.close()
        self._connection.close()
        if left:
            raise LedgerUnusable(f"{left} outcomes could not be written to {self._path}")

    def _write(self, batch: Sequence[Outcome]) -> int:
        """One transaction: all of the batch, or nothing."""
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                for outcome in batch:
                    row = self._connection.execute(_INSERT_REQUEST, request_row(outcome)).lastrowid
                    self._connection.executemany(
                        _INSERT_ATTEMPT, [(row, *attempt_row(record)) for record in outcome.attempts]
                    )
        except sqlite3.Error as error:
            if not self._failing:
                _log.error("the ledger cannot be written, %d outcomes wait: %s", self.pending, error)
            self._failing = True
            return 0
        self._failing = False
        return len(batch)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        connection.close()
        raise LedgerUnusable(f"the ledger {path} is of version {version}; this Forebay knows up to {SCHEMA_VERSION}")
    with connection:
        for statement in _CREATE:
            connection.execute(statement)
    return connection


def _columns(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind, _ in columns)


def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - no input


_VERSION = f"schema_version INTEGER NOT NULL DEFAULT {SCHEMA_VERSION}"
_PARENT = "INTEGER NOT NULL REFERENCES requests (id)"
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY, {_VERSION}, {_columns(REQUESTS)}) STRICT",
    "CREATE INDEX IF NOT EXISTS requests_by_request_id ON requests (request_id)",
    "CREATE INDEX IF NOT EXISTS requests_by_time ON requests (started_at)",
    f"CREATE TABLE IF NOT EXISTS attempts (id INTEGER PRIMARY KEY, request {_PARENT}, {_columns(ATTEMPTS)}) STRICT",
    "CREATE INDEX IF NOT EXISTS attempts_by_request ON attempts (request)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_INSERT_REQUEST = _insert("requests", tuple(name for name, _, _ in REQUESTS))
_INSERT_ATTEMPT = _insert("attempts", ("request", *(name for name, _, _ in ATTEMPTS)))
