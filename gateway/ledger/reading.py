"""The ledger as others read it: never created, never changed, never locked against the gateway that writes it.

A reader of a WAL file sees the last commit and holds up nobody; each question is one short statement.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from msgspec import Struct

from gateway.ledger.file import LedgerUnusable
from gateway.ledger.rows import SCHEMA_VERSION

_PATIENCE_S: Final = 5.0

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tier": "attempts.tier",
        "model": "coalesce(attempts.response_model, attempts.backend)",
        "backend": "attempts.backend",
        "task": "requests.task",
        "class": "requests.sla_class",
        "tenant": "requests.tenant",
        "key": "requests.api_key",
        "day": "date(requests.started_at, 'unixepoch')",
        "reason": "requests.reason",
        "status": "requests.status",
    }
)
"""What usage can be grouped by. Of a request that called several tiers or models each has its own part."""

_FIGURES: Final = (
    "count(DISTINCT requests.id)",
    "count(DISTINCT CASE WHEN requests.status <> 'ok' THEN requests.id END)",
    "count(attempts.id)",
    "coalesce(sum(attempts.prompt_tokens), 0)",
    "coalesce(sum(attempts.cached_tokens), 0)",
    "coalesce(sum(attempts.completion_tokens), 0)",
    "coalesce(sum(attempts.reasoning_tokens), 0)",
    "coalesce(sum(attempts.cost_nano_usd), 0)",
    "coalesce(sum(attempts.latency_s), 0.0)",
)


class Figures(Struct, frozen=True):
    """What some requests came to. Tokens, money and time are those of all their calls, failed ones included."""

    requests: int
    not_ok: int
    """Requests that were refused, broken off or cancelled."""
    calls: int
    prompt_tokens: int
    cached_tokens: int
    """Of the prompt tokens those that came from a provider's cache."""
    completion_tokens: int
    reasoning_tokens: int
    """Of the completion tokens those that nobody saw."""
    cost_nano_usd: int
    seconds: float
    """Time spent in calls."""


class Group(Struct, frozen=True):
    """The figures of the requests, or parts of them, with these values of the keys asked for; None is none."""

    values: tuple[str | None, ...]
    figures: Figures


class LoggedRequest(Struct, frozen=True, kw_only=True):
    """One row of `requests`, as far as a log line tells of it."""

    id: int
    request_id: str
    started_at: float
    tenant: str
    sla_class: str
    task: str | None
    requested_model: str
    response_model: str | None
    tier: str | None
    backend: str | None
    reason: str | None
    status: str
    code: str | None
    http_status: int
    attempts: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_nano_usd: int
    confidence: float | None
    escalated: int
    latency_s: float
    ttft_s: float | None


class Wanted(Struct, frozen=True, kw_only=True):
    """Which rows: all of them unless something is set. Times are Unix seconds, `until` is not included."""

    since: float | None = None
    until: float | None = None
    tenant: str | None = None
    tier: str | None = None
    errors: bool = False

    def condition(self) -> tuple[str, tuple[object, ...]]:
        """As SQL on `requests`, with the values for its question marks."""
        parts: list[tuple[str, object]] = []
        if self.since is not None:
            parts.append(("started_at >= ?", self.since))
        if self.until is not None:
            parts.append(("started_at < ?", self.until))
        if self.tenant is not None:
            parts.append(("tenant = ?", self.tenant))
        if self.tier is not None:
            parts.append(("tier = ?", self.tier))
        if self.errors:
            parts.append(("status <> ?", "ok"))
        return " AND ".join(sql for sql, _ in parts) or "1", tuple(value for _, value in parts)


class LedgerReader:
    """One ledger that is there; open one with `reading`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[Self | None]:
        """The ledger at `path`; None where there is none (yet). Raises LedgerUnusable, in the block too."""
        connection = None
        try:
            if not path.is_file():
                yield None
                return
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S, isolation_level=None
            )
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise LedgerUnusable(f"the ledger {path} is of version {version}; this Forebay knows {SCHEMA_VERSION}")
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 0 and tables:
                raise LedgerUnusable(f"cannot read the ledger {path}: it is a database of something else")
            # Version 0 and empty: a gateway has made it this moment.
            yield None if version == 0 else cls(connection, path)
        except (OSError, sqlite3.Error) as error:
            raise LedgerUnusable(f"cannot read the ledger {path}: {error}") from error
        finally:
            if connection is not None:
                connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within it all questions are answered from one commit, however much is written meanwhile. Keep it short: the
        log of changes cannot be folded back into the file while somebody looks at an old state.
        """
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def usage(self, keys: Sequence[str], wanted: Wanted) -> tuple[Group, ...]:
        """The figures by the values of these keys, which are of `KEYS`; with no key one group, of all."""
        condition, values = wanted.condition()
        columns = [KEYS[key] for key in keys]
        order = ", ".join(f"{column} IS NULL, {column}" for column in columns)
        groups = f" GROUP BY {', '.join(columns)} ORDER BY {order}" if columns else ""
        rows = self._connection.execute(
            f"SELECT {', '.join((*columns, *_FIGURES))} "  # noqa: S608 - expressions of this module alone
            "FROM (SELECT * FROM requests WHERE "
            f"{condition}) AS requests LEFT JOIN attempts ON attempts.request = requests.id{groups}",
            values,
        )
        return tuple(Group(row[: len(columns)], Figures(*row[len(columns) :])) for row in rows)

    def last(self, count: int, wanted: Wanted) -> tuple[LoggedRequest, ...]:
        """The newest rows that are wanted, oldest first."""
        condition, values = wanted.condition()
        sql = f"SELECT {_LOGGED} FROM requests WHERE {condition} ORDER BY id DESC LIMIT ?"  # noqa: S608 - likewise
        rows = self._connection.execute(sql, (*values, count)).fetchall()
        return tuple(_logged(row) for row in reversed(rows))

    def after(self, number: int, wanted: Wanted, at_most: int) -> tuple[LoggedRequest, ...]:
        """The rows written after the one of that number, oldest first."""
        condition, values = wanted.condition()
        sql = f"SELECT {_LOGGED} FROM requests WHERE id > ? AND {condition} ORDER BY id LIMIT ?"  # noqa: S608 - likewise
        return tuple(_logged(row) for row in self._connection.execute(sql, (number, *values, at_most)))

    def newest(self) -> int:
        """The number of the last row; 0 where there is none."""
        (number,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()
        found: int = number
        return found

    def newest_time(self) -> float | None:
        """When the request that began last did, by the clock of that moment."""
        (at,) = self._connection.execute("SELECT max(started_at) FROM requests").fetchone()
        found: float | None = at
        return found

    def fault(self) -> str | None:
        """What SQLite finds wrong with the file; None where it is sound. Reads all of it."""
        (said,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        return None if said == "ok" else str(said)


_NAMES: Final = LoggedRequest.__struct_fields__
_LOGGED: Final = ", ".join(_NAMES)


def _logged(row: Sequence[object]) -> LoggedRequest:
    return LoggedRequest(**dict(zip(_NAMES, row, strict=True)))  # type: ignore[arg-type] # the table is STRICT
