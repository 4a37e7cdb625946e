"""Whether what a caller was told, what the ledger says, and what the provider bills are the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from tests.e2e.books import Books, Row
from tests.e2e.events import Events
from tests.faults.behaviours import Call

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller was told of one request: headers, `forebay` object, usage, error."""

    status: int
    headers: httpx.Headers
    forebay: dict[str, Any] | None
    usage: dict[str, Any] | None
    error: dict[str, Any] | None
    model: str | None

    @classmethod
    def whole(cls, response: httpx.Response) -> "Told":
        """By an answer that was not streamed, or by an error."""
        body = response.json()
        return cls(
            response.status_code,
            response.headers,
            body.get("forebay"),
            body.get("usage"),
            body.get("error"),
            body.get("model"),
        )

    @classmethod
    def streamed(cls, read: Events) -> "Told":
        """By a stream."""
        model = next((event["model"] for event in read.events if "model" in event), None)
        return cls(read.response.status_code, read.response.headers, read.forebay, read.usage, read.error, model)


def agree(told: Told, books: Books, request_id: str, calls: Sequence[Call] | None = None) -> Row:
    """Assert that everybody says the same of a request, and return its row; `calls` are all that it caused."""
    row, attempts = books.request(request_id), books.attempts(request_id)
    assert row["cost_nano_usd"] == sum(attempt["cost_nano_usd"] for attempt in attempts)
    assert row["attempts"] == len(attempts)
    _headers_agree(told, row)
    if told.forebay is not None:
        _object_agrees(told.forebay, row, attempts)
    if told.usage is not None:
        _usage_agrees(told.usage, row)
    if told.error is not None:
        assert row["code"] == told.error["code"]
        assert row["status"] == ("interrupted" if told.status == 200 else "refused")
    else:
        assert (row["status"], row["code"], row["response_model"]) == ("ok", None, told.model)
        assert told.forebay is not None
    assert row["http_status"] == told.status
    if calls is not None:
        _invoice_agrees(calls, attempts)
    return row


def _headers_agree(told: Told, row: Row) -> None:
    columns = {"request-id": "request_id", "tier": "tier", "backend": "backend", "reason": "reason", "policy": "policy"}
    for name, column in columns.items():
        found = told.headers.get("x-request-id" if name == "request-id" else f"x-forebay-{name}")
        assert found == row[column] or (told.error is not None and found is None), (name, found, row[column])
    if (found := told.headers.get("x-forebay-attempts")) is not None:
        assert int(found) == row["attempts"]
    if (found := told.headers.get("x-forebay-cost-usd")) is not None:
        assert Decimal(found) * _NANO == row["cost_nano_usd"]
    if (found := told.headers.get("x-forebay-confidence")) is not None:
        assert float(found) == row["confidence"]
    if told.error is None:
        assert told.headers.get("x-forebay-max-output") == (row["max_output"] and str(row["max_output"]))
        assert told.headers.get("x-forebay-dropped-turns", "0") == str(row["dropped_turns"])
    if not row["stream"] and told.error is None:
        assert "x-forebay-cost-usd" in told.headers
        assert ("x-forebay-confidence" in told.headers) == (row["confidence"] is not None)


def _object_agrees(forebay: dict[str, Any], row: Row, attempts: list[Row]) -> None:
    same = ("request_id", "tier", "backend", "served_by", "reason", "task", "complexity", "confidence", "attempts")
    for name in (*same, "gave_up", "policy", "max_output", "dropped_turns"):
        assert forebay[name] == row[name], name
    assert forebay["escalated"] == bool(row["escalated"])
    assert round(forebay["cost_usd"] * _NANO) == row["cost_nano_usd"]
    for tried, attempt in zip(forebay["tried"], attempts, strict=True):
        for name in ("backend", "tier", "reason", "status", "error", "confidence"):
            assert tried[name] == attempt[name], name
        assert round(tried["cost_usd"] * _NANO) == attempt["cost_nano_usd"]


def _usage_agrees(usage: dict[str, Any], row: Row) -> None:
    assert usage["prompt_tokens"] == row["prompt_tokens"]
    assert usage["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
    if row["tier"] == "vectors":
        assert row["completion_tokens"] == 0
        return
    assert usage["completion_tokens"] == row["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == row["cached_tokens"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == row["reasoning_tokens"]


def _invoice_agrees(calls: Sequence[Call], attempts: list[Row]) -> None:
    """One call per attempt, in order; exact counts agree to the nano-dollar, estimates are never below the bill."""
    assert len(calls) == len(attempts), (calls, attempts)
    for call, attempt in zip(calls, attempts, strict=True):
        billed = 0 if call.bill is None else call.bill.cost_nano
        if attempt["usage_quality"] != "exact":
            assert attempt["cost_nano_usd"] >= billed, (call, attempt)
            continue
        assert attempt["cost_nano_usd"] == billed, (call, attempt)
        if call.bill is not None:
            counted = (attempt["prompt_tokens"], attempt["completion_tokens"], attempt["cached_tokens"])
            assert counted == (call.bill.prompt_tokens, call.bill.completion_tokens, call.bill.cached_tokens)
