"""What is recorded: one `AttemptRecord` per physical call, one `Outcome` per request."""

from enum import StrEnum

from msgspec import Struct

from gateway.errors import Code, Reason
from gateway.messages import Usage
from gateway.types import Complexity, Tier


class AttemptStatus(StrEnum):
    """How one physical call ended."""

    ANSWERED = "answered"  # this is what the client got
    SUPERSEDED = "superseded"  # answered, but a stronger tier's answer went out
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # broke after the first byte had gone out
    CANCELLED = "cancelled"  # the client hung up


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One physical call. `reason` is why this backend was chosen, `error` why it failed, if it did.

    `served_by` names the engine behind a local backend, which may be its standby.
    """

    number: int
    backend: str
    tier: Tier
    reason: Reason
    status: AttemptStatus
    started_at: float
    latency_s: float
    ttft_s: float | None
    usage: Usage
    cost_nano: int
    response_model: str | None = None
    served_by: str | None = None
    finish_reason: str | None = None
    confidence: float | None = None
    verdict: Reason | None = None
    error: Reason | None = None
    detail: str | None = None


class OutcomeStatus(StrEnum):
    """How a request ended, as the client saw it."""

    OK = "ok"
    REFUSED = "refused"  # 4xx, or nobody could answer: no answer was begun
    INTERRUPTED = "interrupted"  # the stream broke after its first byte
    CANCELLED = "cancelled"  # the client hung up


class Outcome(Struct, frozen=True, kw_only=True):
    """The one record of a request. `tier`, `backend` and `reason` are those of the answer; None without one.

    `decision_s` is policy, classification and routing together. `escalated`: a stronger tier was asked
    because an answer was not good enough, whether or not that succeeded.
    """

    request_id: str
    started_at: float
    tenant: str
    key: str
    sla_class: str
    task: str | None = None
    complexity: Complexity | None = None
    score: float | None = None
    region: str | None = None
    session: str | None = None
    stream: bool = False
    requested_model: str
    response_model: str | None = None
    tier: Tier | None = None
    backend: str | None = None
    reason: Reason | None = None
    status: OutcomeStatus
    code: Code | None = None
    http_status: int = 200
    attempts: tuple[AttemptRecord, ...] = ()
    usage: Usage = Usage()
    cost_nano: int = 0
    confidence: float | None = None
    escalated: bool = False
    latency_s: float
    ttft_s: float | None = None
    decision_s: float | None = None
    policy: str
