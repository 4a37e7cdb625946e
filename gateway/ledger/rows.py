"""From an `Outcome` to the rows of the ledger. Names and order of the columns are the ledger's contract.

No prompt, no answer, no key: nothing here is text of a caller's except the names they chose (request id, model,
session, task, region). What a backend makes up (its model's name, a finish reason) is kept as far as a name reaches.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from gateway.outcome import AttemptRecord, Outcome

SCHEMA_VERSION = 1

# As long as the longest name that a caller may choose.
_LONGEST_TEXT = 256

Value = str | int | float | None
Column = tuple[str, str, str]

# Name, type, and where the value stands in an Outcome; a path through something absent is NULL.
REQUESTS: tuple[Column, ...] = (
    ("request_id", "TEXT NOT NULL", "request_id"),
    ("started_at", "REAL NOT NULL", "started_at"),
    ("tenant", "TEXT NOT NULL", "tenant"),
    ("api_key", "TEXT NOT NULL", "key"),
    ("sla_class", "TEXT NOT NULL", "sla_class"),
    ("task", "TEXT", "classification.task"),
    ("task_source", "TEXT", "classification.task_source"),
    ("complexity", "TEXT", "classification.complexity"),
    ("difficulty", "REAL", "classification.score"),
    ("region", "TEXT", "region"),
    ("session", "TEXT", "session"),
    ("stream", "INTEGER NOT NULL", "stream"),
    ("requested_model", "TEXT NOT NULL", "requested_model"),
    ("response_model", "TEXT", "answer.response_model"),
    ("tier", "TEXT", "answer.tier"),
    ("backend", "TEXT", "answer.backend"),
    ("served_by", "TEXT", "answer.served_by"),
    ("reason", "TEXT", "answer.reason"),
    ("status", "TEXT NOT NULL", "status"),
    ("code", "TEXT", "code"),
    ("http_status", "INTEGER NOT NULL", "http_status"),
    ("attempts", "INTEGER NOT NULL", "attempt_count"),
    ("prompt_tokens", "INTEGER", "answer.usage.prompt"),
    ("completion_tokens", "INTEGER", "answer.usage.completion"),
    ("cached_tokens", "INTEGER", "answer.usage.cached"),
    ("cache_written_tokens", "INTEGER", "answer.usage.cache_written"),
    ("reasoning_tokens", "INTEGER", "answer.usage.reasoning"),
    ("usage_quality", "TEXT", "answer.usage.quality"),
    ("cost_nano_usd", "INTEGER NOT NULL", "cost_nano"),
    ("confidence", "REAL", "answer.confidence"),
    ("escalated", "INTEGER NOT NULL", "escalated"),
    ("gave_up", "TEXT", "gave_up"),
    ("latency_s", "REAL NOT NULL", "latency_s"),
    ("ttft_s", "REAL", "ttft_s"),
    ("decision_s", "REAL", "decision_s"),
    ("policy", "TEXT NOT NULL", "policy"),
    ("max_output", "INTEGER", "max_output"),
    ("dropped_turns", "INTEGER NOT NULL DEFAULT 0", "dropped_turns"),
    ("via", "TEXT", "answer.via"),
)

# The same of an AttemptRecord.
ATTEMPTS: tuple[Column, ...] = (
    ("number", "INTEGER NOT NULL", "number"),
    ("backend", "TEXT NOT NULL", "backend"),
    ("tier", "TEXT NOT NULL", "tier"),
    ("served_by", "TEXT", "served_by"),
    ("reason", "TEXT NOT NULL", "reason"),
    ("status", "TEXT NOT NULL", "status"),
    ("error", "TEXT", "error"),
    ("detail", "TEXT", "detail"),
    ("started_at", "REAL NOT NULL", "started_at"),
    ("latency_s", "REAL NOT NULL", "latency_s"),
    ("ttft_s", "REAL", "ttft_s"),
    ("response_model", "TEXT", "response_model"),
    ("finish_reason", "TEXT", "finish_reason"),
    ("prompt_tokens", "INTEGER NOT NULL", "usage.prompt"),
    ("completion_tokens", "INTEGER NOT NULL", "usage.completion"),
    ("cached_tokens", "INTEGER NOT NULL", "usage.cached"),
    ("cache_written_tokens", "INTEGER NOT NULL DEFAULT 0", "usage.cache_written"),
    ("reasoning_tokens", "INTEGER NOT NULL", "usage.reasoning"),
    ("usage_quality", "TEXT NOT NULL", "usage.quality"),
    ("cost_nano_usd", "INTEGER NOT NULL", "cost_nano"),
    ("confidence", "REAL", "confidence"),
    ("verdict", "TEXT", "verdict"),
    ("via", "TEXT", "via"),
)

# Columns of a later day, which an older file is given when it is opened: none of them needs a value in its rows.
ADDED = MappingProxyType(
    {
        "requests": frozenset({"cache_written_tokens", "max_output", "dropped_turns", "via"}),
        "attempts": frozenset({"cache_written_tokens", "via"}),
    }
)


def request_row(outcome: Outcome) -> tuple[Value, ...]:
    """The values of one row of `requests`."""
    return _row(outcome, _request_values, _REQUEST_PATHS)


def attempt_row(record: AttemptRecord) -> tuple[Value, ...]:
    """The values of one row of `attempts`, without the request it belongs to."""
    return _row(record, _attempt_values, _ATTEMPT_PATHS)


def _row(
    noun: Outcome | AttemptRecord, values: Callable[[object], tuple[Value, ...]], paths: tuple[tuple[str, ...], ...]
) -> tuple[Value, ...]:
    try:
        found: Iterable[Value] = values(noun)
    except AttributeError:
        # Some path leads through something absent: only then is it worth walking them one by one.
        found = [_at(noun, path) for path in paths]
    # A StrEnum's member becomes the text that it is by being cut: of other types `sqlite3` asks first who adapts them.
    return tuple([value[:_LONGEST_TEXT] if isinstance(value, str) else value for value in found])


def _at(noun: Outcome | AttemptRecord, path: tuple[str, ...]) -> Value:
    found: Any = noun
    for name in path:
        if found is None:
            return None
        found = getattr(found, name)
    value: Value = found
    return value


def _paths(columns: tuple[Column, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(path.split(".")) for _, _, path in columns)


_REQUEST_PATHS = _paths(REQUESTS)
_ATTEMPT_PATHS = _paths(ATTEMPTS)
_request_values = attrgetter(*(path for _, _, path in REQUESTS))
_attempt_values = attrgetter(*(path for _, _, path in ATTEMPTS))
