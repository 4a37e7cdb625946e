"""Writing outcomes: in order, many at a time, and without losing any to whoever is in the way."""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger import LedgerUnusable, SqliteLedger
from gateway.outcome import Outcome
from tests.e2e.books import Books
from tests.gateway.ledger.full import numbered
from tests.gateway.ledger.wal import commits
from tests.gateway.nouns import ATTEMPT, OUTCOME, change
from tests.gateway.waiting import until


def record_all(ledger: SqliteLedger, outcomes: list[Outcome]) -> float:
    """Hand outcomes over; how many seconds the slowest took."""
    slowest = 0.0
    for outcome in outcomes:
        before = time.perf_counter()
        ledger.record(outcome)
        slowest = max(slowest, time.perf_counter() - before)
    return slowest


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else is in the middle of writing the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def ids(path: Path) -> list[str]:
    """The requests in the file, in its order."""
    return [row["request_id"] for row in Books(path).requests()]


def expected(count: int) -> list[str]:
    """The ids of that many outcomes."""
    return [f"r-{number}" for number in range(count)]


def test_outcomes_are_written_soon_and_in_order(tmp_path: Path) -> None:
    """Without anybody asking for it, with all their attempts."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    record_all(ledger, numbered(2500, attempts=2))
    until(lambda: not ledger.pending, "everything written")
    assert ids(path) == expected(2500)
    assert [row["number"] for row in Books(path).every_attempt()] == [1, 2] * 2500
    assert not ledger.failing
    ledger.close()


def test_many_outcomes_are_few_transactions(tmp_path: Path) -> None:
    """What gathers while one is written is the next: the log of the file has a commit for hundreds of rows."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        # As long as this one reads, the log is not begun anew.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM requests").fetchone()
        before = commits(path)
        record_all(ledger, numbered(3000))
        until(lambda: not ledger.pending, "everything written")
        written = commits(path) - before
    ledger.close()
    assert len(ids(path)) == 3000
    assert 3 <= written <= 30


def test_one_outcome_does_not_wait_for_others(tmp_path: Path) -> None:
    """A quiet gateway's ledger is up to date, too: each is a transaction of its own."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    before = commits(path)
    for outcome in numbered(3):
        ledger.record(outcome)
        until(lambda: not ledger.pending, "written")
    assert commits(path) - before == 3
    ledger.close()


def test_close_writes_what_is_left(tmp_path: Path) -> None:
    """When it returns the file is complete, and a file it is: nothing lies beside it."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    record_all(ledger, numbered(1500))
    ledger.close()
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.sqlite"]
    assert ids(path) == expected(1500)


def test_a_locked_file_loses_nothing_and_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`record` returns at once, the rows wait, the log says so once, and they are written when the lock is gone."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path, lock_wait_s=0.05)
    with caplog.at_level(logging.ERROR, "forebay.ledger"), locked(path) as other:
        slowest = record_all(ledger, numbered(500))
        until(lambda: ledger.failing, "it is noticed")
        slowest = max(slowest, record_all(ledger, numbered(500)))
        assert ledger.pending == 1000
        assert slowest < 1.0
        other.execute("ROLLBACK")
        until(lambda: not ledger.pending, "written after all")
    assert not ledger.failing
    ledger.close()
    assert ids(path) == expected(500) * 2
    (message,) = caplog.messages
    assert "the ledger cannot be written" in message
    assert message.endswith("outcomes wait: database is locked")


def test_close_says_how_many_could_not_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It tries again, in bounded time, and says in one sentence how many and where; what was written is whole."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path, lock_wait_s=0.05)
    record_all(ledger, numbered(5))
    until(lambda: not ledger.pending, "written")
    with locked(path):
        record_all(ledger, numbered(7))
        until(lambda: ledger.failing, "it is noticed")
        before = time.perf_counter()
        with pytest.raises(LedgerUnusable, match=rf"^7 outcomes could not be written to {path}$"):
            ledger.close()
        assert time.perf_counter() - before < 10
    assert ids(path) == expected(5)
    assert len(caplog.messages) == 1


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """A file that takes the request and not its attempts has neither; both are there once it takes them again."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("ALTER TABLE attempts RENAME TO hidden")
        record_all(ledger, numbered(3))
        until(lambda: ledger.failing, "it is noticed")
        assert other.execute("SELECT count(*) FROM requests").fetchone() == (0,)
        other.execute("ALTER TABLE hidden RENAME TO attempts")
        until(lambda: not ledger.pending, "written after all")
    ledger.close()
    assert ids(path) == expected(3)
    assert len(Books(path).every_attempt()) == 3


UNFIT: list[dict[str, Any]] = [
    {"cost_nano": 2**63},
    {"attempts": (change(ATTEMPT, cost_nano=2**63),)},
    {"tenant": None},
    {"latency_s": float("nan")},
    {"session": "half a character: \ud800"},
    {"attempts": (change(ATTEMPT, backend=object()),)},
]


@pytest.mark.parametrize("fields", UNFIT, ids=", ".join)
def test_what_fits_into_no_row_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    """It is put into the log, where somebody finds it, and the others are written, in their order."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    with caplog.at_level(logging.ERROR, "forebay.ledger"):
        outcomes = numbered(10)
        outcomes.insert(5, change(OUTCOME, request_id="r-unfit", **fields))
        record_all(ledger, outcomes)
        ledger.close()
    assert ids(path) == expected(10)
    assert len(Books(path).every_attempt()) == 10
    (message,) = caplog.messages
    assert "r-unfit" in message
    assert "does not fit into the ledger" in message
    assert "\n" not in message
