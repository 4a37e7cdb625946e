"""Every answer says what happened: in headers as far as their values are final, and in the `forebay` object."""

from gateway.messages import ChatRequest
from gateway.outcome import AttemptRecord, Forebay, Outcome
from gateway.prices import NANO, dollars
from gateway.run import Attempt, Counted, Run
from gateway.server.http import Header


def commit_headers(run: Run, attempt: Attempt) -> list[Header]:
    """What is known when the first byte of a stream leaves."""
    return _headers(
        {
            b"x-request-id": run.request.id,
            b"x-forebay-tier": attempt.candidate.tier,
            b"x-forebay-backend": attempt.candidate.backend,
            b"x-forebay-reason": attempt.reason,
            b"x-forebay-via": attempt.via or "",
            b"x-forebay-attempts": str(len(run.attempts)),
            b"x-forebay-policy": run.arrival.policy,
            b"x-forebay-ignored": ", ".join(run.ignored_by(attempt)),
            **_lengths(run.decided.max_output, run.decided.dropped_turns),
        }
    )


def final_headers(outcome: Outcome) -> list[Header]:
    """What is known at the end."""
    answer = outcome.answer
    known = {
        b"x-request-id": outcome.request_id,
        b"x-forebay-attempts": str(outcome.attempt_count),
        b"x-forebay-cost-usd": dollars(outcome.cost_nano),
        b"x-forebay-policy": outcome.policy,
        b"x-forebay-ignored": ", ".join(outcome.ignored),
        **_lengths(outcome.max_output, outcome.dropped_turns),
    }
    if answer is not None:
        known[b"x-forebay-tier"] = answer.tier
        known[b"x-forebay-backend"] = answer.backend
        known[b"x-forebay-reason"] = answer.reason
        known[b"x-forebay-via"] = answer.via or ""
        known[b"x-forebay-confidence"] = "" if answer.confidence is None else f"{answer.confidence:g}"
    return _headers(known)


def count_headers(request: ChatRequest, counted: Counted) -> list[Header]:
    """What is known of a count."""
    return _headers(
        {
            b"x-request-id": request.id,
            b"x-forebay-tier": counted.candidate.tier,
            b"x-forebay-backend": counted.candidate.backend,
            b"x-forebay-reason": counted.candidate.reason,
            b"x-forebay-policy": counted.policy,
            b"x-forebay-ignored": ", ".join(counted.ignored),
        }
    )


def forebay_object(outcome: Outcome) -> Forebay:
    """The same and more, for the body; it equals the ledger's row."""
    answer, classification = outcome.answer, outcome.classification
    return {
        "request_id": outcome.request_id,
        "tier": answer and answer.tier,
        "backend": answer and answer.backend,
        "served_by": answer and answer.served_by,
        "reason": answer and answer.reason,
        "via": answer and answer.via,
        "task": classification and classification.task,
        "complexity": classification and classification.complexity,
        "confidence": answer and answer.confidence,
        "cost_usd": outcome.cost_nano / NANO,
        "attempts": outcome.attempt_count,
        "escalated": outcome.escalated,
        "gave_up": outcome.gave_up,
        "tried": [_tried(record) for record in outcome.attempts],
        "passed_over": [
            {"backend": each.backend, "tier": each.tier, "reason": each.reason} for each in outcome.passed_over
        ],
        "ignored": list(outcome.ignored),
        "max_output": outcome.max_output,
        "dropped_turns": outcome.dropped_turns,
        "policy": outcome.policy,
    }


def _tried(record: AttemptRecord) -> Forebay:
    return {
        "backend": record.backend,
        "tier": record.tier,
        "reason": record.reason,
        "status": record.status,
        "error": record.error,
        "confidence": record.confidence,
        "cost_usd": record.cost_nano / NANO,
    }


def _lengths(max_output: int | None, dropped_turns: int) -> dict[bytes, str]:
    """What policy made of the length of answer and prompt; nothing where it left both as they were asked for."""
    return {
        b"x-forebay-max-output": "" if max_output is None else str(max_output),
        b"x-forebay-dropped-turns": str(dropped_turns) if dropped_turns else "",
    }


def _headers(values: dict[bytes, str]) -> list[Header]:
    return [(name, value.encode("latin-1", "replace")) for name, value in values.items() if value]
