"""The ledger as an auditor reads it: with sqlite3, from outside, while it is being written."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Books:
    """One ledger file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def request(self, request_id: str, timeout: float = 10.0) -> Row:
        """The one row of a request, once it is written."""
        pause = threading.Event()
        deadline = time.monotonic() + timeout
        while not (rows := self._query("SELECT * FROM requests WHERE request_id = ?", request_id)):
            assert time.monotonic() < deadline, f"no row of request {request_id} within {timeout} s"
            pause.wait(0.01)
        assert len(rows) == 1, rows
        return rows[0]

    def attempts(self, request_id: str) -> list[Row]:
        """The rows of its physical calls, in their order."""
        row = self.request(request_id)
        return self._query("SELECT * FROM attempts WHERE request = ? ORDER BY number", row["id"])

    def requests(self) -> list[Row]:
        """Every request that is written, in that order."""
        return self._query("SELECT * FROM requests ORDER BY id")

    def every_attempt(self) -> list[Row]:
        """Every physical call that is written."""
        return self._query("SELECT * FROM attempts ORDER BY id")

    def sound(self) -> bool:
        """Whether SQLite finds nothing wrong with the file, and no physical call is without its request."""
        checks = self._query("PRAGMA integrity_check"), self._query("PRAGMA foreign_key_check")
        return checks == ([{"integrity_check": "ok"}], [])

    def _query(self, sql: str, *values: object) -> list[Row]:
        with self._open() as connection:
            return [dict(row) for row in connection.execute(sql, values)]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()
