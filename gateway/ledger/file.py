"""The ledger's file: for its owner alone, looked at before it is changed, and set up so that a commit is on the disk.

WAL, so that auditors may read while rows are written; synchronous=FULL, so that a commit survives a power cut.
"""

import os
import sqlite3
from contextlib import ExitStack, suppress
from pathlib import Path

from gateway.errors import ForebayError
from gateway.ledger.rows import ADDED, ATTEMPTS, REQUESTS, SCHEMA_VERSION, Column


class LedgerUnusable(ForebayError):
    """The file is no ledger, belongs to a newer version, or cannot be written."""


def open_ledger(path: Path, lock_wait_s: float) -> sqlite3.Connection:
    """Open or create the ledger at `path`; a file that is none is left as it is. Raises LedgerUnusable.

    `lock_wait_s` is how long a statement waits for another writer.
    """
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o700, parents=True)
        # SQLite would make it readable by everybody; its side files get the mode of the file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with ExitStack() as on_failure:
            connection = sqlite3.connect(path, timeout=lock_wait_s, isolation_level=None, check_same_thread=False)
            on_failure.callback(connection.close)
            _look_at(connection, path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            _create(connection)
            _complete(connection)
            on_failure.pop_all()
    except (OSError, sqlite3.Error) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise _unusable(path, str(what)) from error
    return connection


def _look_at(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what no row of this version fits into, before anything in it is changed."""
    with connection:
        connection.execute("BEGIN")
        version = _version(connection)
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        strange = [table for table, columns in _TABLES if _missing(connection, table, columns) - ADDED[table]]
    if version > SCHEMA_VERSION:
        raise LedgerUnusable(f"the ledger {path} is of version {version}; this Forebay knows up to {SCHEMA_VERSION}")
    if version == 0 and tables:
        raise _unusable(path, "it is a database of something else")
    if version and strange:
        raise _unusable(path, f"its {strange[0]} are not those of version {version}")


def _unusable(path: Path, why: str) -> LedgerUnusable:
    return LedgerUnusable(f"cannot use the ledger {path}: {why}; mend that, or set FOREBAY_HOME to another folder")


def _missing(connection: sqlite3.Connection, table: str, columns: tuple[Column, ...]) -> set[str]:
    found = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    return {name for name, _, _ in columns} - found


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables, all or none. Where they are there nothing is written, and so no other writer waited for."""
    if _version(connection) == 0:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _CREATE:
                connection.execute(statement)


def _complete(connection: sqlite3.Connection) -> None:
    """Give an older file the columns that it lacks. A Forebay of its day can go on writing it."""
    if any(_missing(connection, table, columns) for table, columns in _TABLES):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, columns in _TABLES:
                missing = _missing(connection, table, columns)
                for name, kind, _ in columns:
                    if name in missing:
                        connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found: int = version
    return found


def _columns(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind, _ in columns)


_TABLES = (("requests", REQUESTS), ("attempts", ATTEMPTS))
_ROW_VERSION = f"schema_version INTEGER NOT NULL DEFAULT {SCHEMA_VERSION}"
_PARENT = "INTEGER NOT NULL REFERENCES requests (id)"
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY, {_ROW_VERSION}, {_columns(REQUESTS)}) STRICT",
    "CREATE INDEX IF NOT EXISTS requests_by_request_id ON requests (request_id)",
    "CREATE INDEX IF NOT EXISTS requests_by_time ON requests (started_at)",
    f"CREATE TABLE IF NOT EXISTS attempts (id INTEGER PRIMARY KEY, request {_PARENT}, {_columns(ATTEMPTS)}) STRICT",
    "CREATE INDEX IF NOT EXISTS attempts_by_request ON attempts (request)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
