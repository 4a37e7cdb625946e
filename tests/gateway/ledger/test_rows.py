"""What stands in the ledger is what the outcome says: column by column, to the last nano-dollar."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import SqliteLedger
from gateway.ledger.rows import SCHEMA_VERSION, attempt_row, request_row
from gateway.messages import Usage, UsageQuality
from gateway.outcome import AttemptRecord, AttemptStatus, Outcome, OutcomeStatus
from tests.e2e.books import Books, Row
from tests.gateway.ledger.full import ANSWER, BARE, BARE_ATTEMPT, FULL, LIGHT
from tests.gateway.nouns import ATTEMPT, OUTCOME, change

REQUEST_ROW: dict[str, object] = {
    "id": 1,
    "schema_version": 1,
    "request_id": "r-77",
    "started_at": 1_700_000_000.5,
    "tenant": "acme",
    "api_key": "ci",
    "sla_class": "pro",
    "task": "faq",
    "task_source": "hint",
    "complexity": "medium",
    "difficulty": 0.4375,
    "region": "eu-west",
    "session": "session-9",
    "stream": 1,
    "requested_model": "gpt-4o-mini",
    "response_model": "mid-1.0",
    "tier": "mid",
    "backend": "mini",
    "served_by": "standby",
    "reason": "low_confidence",
    "status": "interrupted",
    "code": "upstream_interrupted",
    "http_status": 502,
    "attempts": 2,
    "prompt_tokens": 102,
    "completion_tokens": 52,
    "cached_tokens": 12,
    "cache_written_tokens": 22,
    "reasoning_tokens": 8,
    "usage_quality": "exact",
    "cost_nano_usd": 3_003,
    "confidence": 0.875,
    "escalated": 1,
    "gave_up": "attempts",
    "latency_s": 1.25,
    "ttft_s": 0.625,
    "decision_s": 0.0003,
    "policy": "0123456789ab",
    "max_output": 512,
    "dropped_turns": 6,
    "via": "completions",
}
"""The row of `FULL`; a column that is added has to be added here."""

ATTEMPT_ROW: dict[str, object] = {
    "id": 1,
    "request": 1,
    "number": 1,
    "backend": "local",
    "tier": "light",
    "served_by": "small",
    "reason": "task_policy",
    "status": "superseded",
    "error": "upstream_timeout",
    "detail": "local: the stream fell silent",
    "started_at": 1_700_000_001.5,
    "latency_s": 0.25,
    "ttft_s": 0.0625,
    "response_model": "light-1.0",
    "finish_reason": "length",
    "prompt_tokens": 101,
    "completion_tokens": 51,
    "cached_tokens": 11,
    "cache_written_tokens": 21,
    "reasoning_tokens": 7,
    "usage_quality": "estimated",
    "cost_nano_usd": 1_001,
    "confidence": 0.125,
    "verdict": "truncated",
    "via": "chat",
}
"""The row of the first attempt of `FULL`."""

REQUEST_NULLS = frozenset(
    {
        *("task", "task_source", "complexity", "difficulty", "region", "session", "response_model", "tier", "backend"),
        *("served_by", "reason", "code", "prompt_tokens", "completion_tokens", "cached_tokens"),
        *("cache_written_tokens", "reasoning_tokens"),
        *("usage_quality", "confidence", "gave_up", "ttft_s", "decision_s", "max_output", "via"),
    }
)
ATTEMPT_NULLS = frozenset(
    {"served_by", "error", "detail", "ttft_s", "response_model", "finish_reason", "confidence", "verdict", "via"}
)
"""What may be absent, of a request and of an attempt; everything else has a value in every row."""

NOT_KEPT = frozenset({"passed_over", "ignored"})
"""What the outcome says and the ledger does not: it is told to the caller and in the log."""

AMOUNTS = st.integers(0, 2**63 - 1)


def kept(folder: Path, *outcomes: Outcome) -> Books:
    """A ledger with these outcomes, closed."""
    path = folder / "ledger.sqlite"
    ledger = SqliteLedger(path)
    for outcome in outcomes:
        ledger.record(outcome)
    ledger.close()
    return Books(path)


def rows(folder: Path, sql: str, *values: str) -> list[tuple[Any, ...]]:
    """What a query finds in that ledger."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        return connection.execute(sql, values).fetchall()


def nulls(row: Row) -> frozenset[str]:
    """The columns without a value."""
    return frozenset(name for name, value in row.items() if value is None)


def test_a_request_is_kept_column_by_column(tmp_path: Path) -> None:
    """Every column of `requests`, in its order, holds what the outcome says, as the type that it says."""
    (row,) = kept(tmp_path, FULL).requests()
    assert list(row.items()) == list(REQUEST_ROW.items())
    assert [type(value) for value in row.values()] == [type(value) for value in REQUEST_ROW.values()]


def test_an_attempt_is_kept_column_by_column(tmp_path: Path) -> None:
    """So it is with every column of `attempts`."""
    row = kept(tmp_path, FULL).every_attempt()[0]
    assert list(row.items()) == list(ATTEMPT_ROW.items())
    assert [type(value) for value in row.values()] == [type(value) for value in ATTEMPT_ROW.values()]


@pytest.mark.parametrize("name", Outcome.__struct_fields__)
def test_a_field_of_an_outcome_is_kept_or_listed(name: str) -> None:
    """One that is added to the noun has a column, or stands among those that have none."""
    without = change(FULL, **{name: () if name == "attempts" else None})
    assert (request_row(without) == request_row(FULL)) == (name in NOT_KEPT)


@pytest.mark.parametrize("name", AttemptRecord.__struct_fields__)
def test_a_field_of_an_attempt_is_kept(name: str) -> None:
    """Without exception."""
    assert attempt_row(change(LIGHT, **{name: None})) != attempt_row(LIGHT)


def test_what_is_absent_is_null(tmp_path: Path) -> None:
    """Neither 0 nor an empty text stands for it; what must be there is refused by the file itself if it is not."""
    books = kept(tmp_path, BARE, change(FULL, attempts=(BARE_ATTEMPT,)))
    bare, full = books.requests()
    (attempt,) = books.every_attempt()
    assert nulls(bare) == REQUEST_NULLS
    assert nulls(full) == frozenset()
    assert nulls(attempt) == ATTEMPT_NULLS
    assert (attempt["prompt_tokens"], attempt["usage_quality"]) == (0, "unknown")


def test_a_column_that_may_be_null_is_one_that_may_be_absent(tmp_path: Path) -> None:
    """The file's own constraints say the same as the lists here."""
    kept(tmp_path, FULL)
    for table, absent in (("requests", REQUEST_NULLS), ("attempts", ATTEMPT_NULLS)):
        columns = rows(tmp_path, "SELECT name, \"notnull\" FROM pragma_table_info(?) WHERE name != 'id'", table)
        assert {name for name, required in columns if not required} == absent


@pytest.mark.parametrize("status", OutcomeStatus)
def test_every_way_to_end_fits(tmp_path: Path, status: OutcomeStatus) -> None:
    """Of a request."""
    (row,) = kept(tmp_path, change(OUTCOME, status=status)).requests()
    assert row["status"] == status.value


@pytest.mark.parametrize("status", AttemptStatus)
@pytest.mark.parametrize("quality", UsageQuality)
def test_every_way_an_attempt_ends_fits(tmp_path: Path, status: AttemptStatus, quality: UsageQuality) -> None:
    """Whether its tokens were counted, estimated, or are unknown."""
    record = change(ATTEMPT, status=status, usage=Usage(9, 8, 7, 6, quality))
    (row,) = kept(tmp_path, change(OUTCOME, attempts=(record,))).every_attempt()
    names = ("status", "usage_quality", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    assert [row[name] for name in names] == [status.value, quality.value, 9, 8, 7, 6]


@settings(max_examples=40, deadline=None)
@given(st.lists(AMOUNTS, min_size=1, max_size=30))
def test_money_is_kept_to_the_last_nano_dollar(amounts: list[int]) -> None:
    """As whole numbers of 64 bits, of requests and of attempts, and no other way of reading them finds another sum."""
    outcomes = [change(OUTCOME, cost_nano=amount, attempts=(change(ATTEMPT, cost_nano=amount),)) for amount in amounts]
    with tempfile.TemporaryDirectory() as folder:
        books = kept(Path(folder), *outcomes)
        for found in (books.requests(), books.every_attempt()):
            assert [row["cost_nano_usd"] for row in found] == amounts
        kinds = rows(Path(folder), "SELECT DISTINCT typeof(cost_nano_usd) FROM requests")
        assert kinds == [("integer",)]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=256), st.text(max_size=256))
def test_names_are_kept_as_they_were_chosen(session: str, model: str) -> None:
    """Whatever characters a caller put into them, quotes, line ends and NUL among them."""
    with tempfile.TemporaryDirectory() as folder:
        (row,) = kept(Path(folder), change(OUTCOME, session=session, requested_model=model)).requests()
        assert (row["session"], row["requested_model"]) == (session, model)


def test_what_a_backend_makes_up_is_kept_short(tmp_path: Path) -> None:
    """A model's name of a megabyte, or a finish reason that is a novel, does not fill the disk."""
    record = change(ATTEMPT, response_model="m" * 1_000_000, finish_reason="f" * 1_000_000, detail="d" * 300)
    books = kept(tmp_path, change(OUTCOME, answer=record, attempts=(record,)))
    (row,), (attempt,) = books.requests(), books.every_attempt()
    assert row["response_model"] == attempt["response_model"] == "m" * 256
    assert (attempt["finish_reason"], attempt["detail"]) == ("f" * 256, "d" * 256)


def test_attempts_belong_to_their_request(tmp_path: Path) -> None:
    """Also of requests that share an id, which callers choose; the file refuses an attempt of nobody's."""
    two, one = change(FULL, attempts=(LIGHT, ANSWER)), change(FULL, attempts=(LIGHT,))
    books = kept(tmp_path, two, BARE, one)
    assert [row["id"] for row in books.requests()] == [1, 2, 3]
    assert [(row["request"], row["number"]) for row in books.every_attempt()] == [(1, 1), (1, 2), (3, 1)]
    assert rows(tmp_path, "PRAGMA foreign_key_check") == []
    assert rows(tmp_path, 'SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'attempts\')') == [
        ("requests", "request", "id")
    ]


def test_every_row_and_the_file_say_their_version(tmp_path: Path) -> None:
    """So that who reads rows of several versions together can tell them apart."""
    books = kept(tmp_path, FULL, BARE)
    assert [row["schema_version"] for row in books.requests()] == [SCHEMA_VERSION] * 2
    assert rows(tmp_path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_auditors_find_requests_by_id_and_by_time(tmp_path: Path) -> None:
    """Without reading the whole file."""
    kept(tmp_path, FULL)
    for query in (
        "SELECT * FROM requests WHERE request_id = 'r-77'",
        "SELECT * FROM requests WHERE started_at > 5",
        "SELECT * FROM attempts WHERE request = 1",
    ):
        (plan,) = rows(tmp_path, f"EXPLAIN QUERY PLAN {query}")
        assert "USING INDEX" in plan[3]
