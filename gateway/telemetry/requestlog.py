"""One JSON line per request, for people and log shippers: what happened, never what was said.

Lines are written by a thread of its own, so that a blocked terminal or pipe cannot hold up answers; what cannot be
taken in time is dropped and counted.
"""

import json
import os
import select
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from gateway.background import BackgroundBatches
from gateway.outcome import Outcome
from gateway.prices import dollars

_MAX_WAITING = 10_000
_GATHER_S = 0.05
_MAX_NAME = 200
_DELETE = "\x7f"
_encode = msgspec.json.Encoder().encode


class RequestLog:
    """Writes lines to a file descriptor, which stays its owner's. `close` returns when those accepted are written.

    A descriptor, because a stream such as sys.stdout is locked by a write that blocks, and the interpreter, which
    wants to flush it in the end, would then never end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Each is counted by one thread alone.
        self._too_many = 0
        self._unwritten = 0
        self._batches: BackgroundBatches[Outcome] = BackgroundBatches(
            "forebay-request-log", self._write, pause_s=_GATHER_S
        )

    @property
    def dropped(self) -> int:
        """Outcomes without a line: they came too fast, or nobody took their lines."""
        return self._too_many + self._unwritten

    def record(self, outcome: Outcome) -> None:
        """Queue one line; returns at once."""
        if len(self._batches) < _MAX_WAITING:
            self._batches.add(outcome)
        else:
            self._too_many += 1

    def close(self, patience_s: float = 5.0) -> None:
        """Write what is queued; a reader who takes nothing is given up after `patience_s` seconds."""
        left = self._batches.close(patience_s)
        self._too_many += left

    def _write(self, batch: Sequence[Outcome]) -> int:
        try:
            self._write_all("".join([line(outcome) + "\n" for outcome in batch]).encode())
        except (OSError, ValueError):
            # Nobody reads any more, the disk is full, or a name is no text; answers go on without it.
            self._unwritten += len(batch)
        return len(batch)

    def _write_all(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Whoever shares the pipe with us made it so; this thread has time.
                select.select([], [self._descriptor], [])


def line(outcome: Outcome) -> str:
    """One line of JSON in ASCII, so that no character of a name can end it, or command a terminal."""
    answer, classification = outcome.answer, outcome.classification
    fields = {
        "time": datetime.fromtimestamp(outcome.started_at, UTC).isoformat(timespec="milliseconds"),
        "request_id": outcome.request_id,
        "tenant": outcome.tenant,
        "key": outcome.key,
        "class": outcome.sla_class,
        "requested_model": outcome.requested_model[:_MAX_NAME],
        "status": outcome.status,
        "http_status": outcome.http_status,
        "code": outcome.code,
        "task": classification and classification.task,
        "complexity": classification and classification.complexity,
        "tier": answer and answer.tier,
        "backend": answer and answer.backend,
        "reason": answer and answer.reason,
        "response_model": answer and answer.response_model and answer.response_model[:_MAX_NAME],
        "attempts": len(outcome.attempts),
        "tried": [
            {"backend": record.backend, "reason": record.reason, "status": record.status, "error": record.error}
            for record in outcome.attempts
        ],
        "passed_over": [{"backend": each.backend, "reason": each.reason} for each in outcome.passed_over],
        "escalated": outcome.escalated,
        "prompt_tokens": answer and answer.usage.prompt,
        "completion_tokens": answer and answer.usage.completion,
        "cost_usd": dollars(outcome.cost_nano),
        "confidence": answer and answer.confidence,
        "latency_ms": round(outcome.latency_s * 1000, 1),
        "ttft_ms": None if outcome.ttft_s is None else round(outcome.ttft_s * 1000, 1),
        "decision_us": None if outcome.decision_s is None else round(outcome.decision_s * 1e6),
        "stream": outcome.stream,
        "max_output": outcome.max_output,
        "dropped_turns": outcome.dropped_turns or None,
    }
    text = _encode({name: value for name, value in fields.items() if value is not None}).decode()
    return text if text.isascii() and _DELETE not in text else _plain(text)


def _plain(text: str) -> str:
    """The same JSON with whatever is not plain ASCII as an escape."""
    return json.dumps(msgspec.json.decode(text), separators=(",", ":"))
