"""What is recorded: one `AttemptRecord` per physical call, one `Outcome` per request."""

from enum import StrEnum

from msgspec import Struct

from gateway.errors import Code, Reason
from gateway.messages import Usage
from gateway.types import Classification, Tier, Via
from gateway.vectors import SOURCE

Forebay = dict[str, object]
"""What a caller is told of an outcome, in the body of the answer."""


class AttemptStatus(StrEnum):
    """How one physical call ended."""

    ANSWERED = "answered"  # this is what the client got
    SUPERSEDED = "superseded"  # answered, but a stronger tier's answer went out
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # broke after the first byte had gone out
    CANCELLED = "cancelled"  # the client hung up


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One physical call. `reason` is why this backend was chosen, `error` why it failed, if it did.

    `served_by` names the engine behind a local backend: its own, or the standby of that.
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
    via: Via | None = None


class PassedOver(Struct, frozen=True):
    """A candidate that never started: the gate was full, its engine unwell, or its breaker open."""

    backend: str
    tier: Tier
    reason: Reason
    detail: str


class OutcomeStatus(StrEnum):
    """How a request ended, as the client saw it."""

    OK = "ok"
    REFUSED = "refused"  # 4xx, or nobody could answer: no answer was begun
    INTERRUPTED = "interrupted"  # the stream broke after its first byte
    CANCELLED = "cancelled"  # the client hung up


class Outcome(Struct, frozen=True, kw_only=True):
    """The one record of a request. `answer` is the attempt whose answer went out, None if none did.

    `cost_nano` is all attempts together. `decision_s` is policy, classification and routing. `ttft_s` is from
    the request's arrival to the first byte of the answer. `escalated`: a stronger tier was asked because an answer
    was not good enough; `gave_up` says why it was not, where it should have been. `max_output` is the limit of the
    answer in tokens, where policy set it and not the caller; `dropped_turns` are those that a long prompt lost.
    """

    request_id: str
    started_at: float
    tenant: str
    key: str
    sla_class: str
    region: str | None
    session: str | None
    stream: bool
    requested_model: str
    classification: Classification | None
    status: OutcomeStatus
    code: Code | None
    http_status: int
    answer: AttemptRecord | None
    attempts: tuple[AttemptRecord, ...]
    passed_over: tuple[PassedOver, ...]
    cost_nano: int
    escalated: bool
    gave_up: str | None
    latency_s: float
    ttft_s: float | None
    decision_s: float | None
    policy: str
    ignored: tuple[str, ...]
    max_output: int | None
    dropped_turns: int

    @property
    def attempt_count(self) -> int:
        """Physical calls."""
        return len(self.attempts)

    @property
    def for_vectors(self) -> bool:
        """Whether it asked for vectors and not for text."""
        return self.classification is not None and self.classification.task_source == SOURCE
