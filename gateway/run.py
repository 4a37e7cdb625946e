"""One request while it is under way: what was decided, what was tried, and the one `Outcome` it ends in."""

import math
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from gateway.errors import AnswerError, AttemptError, Code, Evicted, Reason, Rejected
from gateway.messages import ChatRequest, Request, Usage
from gateway.outcome import AttemptRecord, AttemptStatus, Outcome, OutcomeStatus, PassedOver
from gateway.types import Answerer, Candidate, Classification, Constraints, Identity, Route, Score, TokenCount, Via

R = TypeVar("R", bound=Request)

_SENT_AWAY = frozenset({Reason.LATENCY_OBJECTIVE, Reason.NO_CAPACITY})


class Attempt:
    """One physical call while it is under way. Whoever makes the call fills this in; `record` reads it out."""

    def __init__(self, number: int, candidate: Candidate, reason: Reason, served_by: str | None) -> None:
        self.number = number
        self.candidate = candidate
        self.reason = reason
        self.served_by = served_by
        self.ignored: tuple[str, ...] = ()
        self.via: Via | None = None
        self.started_at = time.time()
        self._started = time.perf_counter()
        self.latency_s = 0.0
        self.ttft_s: float | None = None
        self.status: AttemptStatus | None = None
        self.usage = Usage()
        self.cost_nano = candidate.cost_nano  # what is expected, until it is known
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.score: Score | None = None
        self.error: AttemptError | None = None

    @property
    def answerer(self) -> Answerer:
        """Who is called."""
        return self.candidate.backend, self.served_by

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self._started

    def ended(self, status: AttemptStatus | None = None, error: AttemptError | None = None) -> None:
        """The call is over. Without a `status` its answer is complete, and what becomes of it is still open."""
        self.latency_s = self.elapsed()
        self.status = status
        self.error = error

    def record(self, fallback: AttemptStatus) -> AttemptRecord:
        """What the ledger keeps; `fallback` is the status of a call whose fate was open till the end."""
        return AttemptRecord(
            number=self.number,
            backend=self.candidate.backend,
            tier=self.candidate.tier,
            reason=self.reason,
            status=self.status or fallback,
            started_at=self.started_at,
            latency_s=self.latency_s,
            ttft_s=self.ttft_s,
            usage=self.usage,
            cost_nano=self.cost_nano,
            response_model=self.model,
            served_by=self.served_by,
            finish_reason=self.finish_reason,
            confidence=None if self.score is None else self.score.value,
            verdict=None if self.score is None else self.score.problem,
            error=None if self.error is None else self.error.reason,
            detail=None if self.error is None else str(self.error),
            via=self.via,
        )


class Arrival(Struct, Generic[R], frozen=True, kw_only=True):
    """A request at the door: who asks what, under which policy, since when."""

    request: R
    identity: Identity
    policy: str
    at: float
    clock: float

    @classmethod
    def now(cls, request: R, identity: Identity, policy: str) -> "Arrival[R]":
        """Somebody has just asked."""
        return cls(request=request, identity=identity, policy=policy, at=time.time(), clock=time.perf_counter())

    def elapsed(self) -> float:
        """Seconds since then."""
        return time.perf_counter() - self.clock


class Decision(Struct, Generic[R], frozen=True, kw_only=True):
    """What policy, classification and routing made of a request.

    `request` is what is sent on. `max_output` is the limit of its answer where policy set it and not the caller,
    `dropped_turns` how many turns of the caller's it lacks because it was too long.
    """

    request: R
    constraints: Constraints
    classification: Classification
    route: Route
    took_s: float
    max_output: int | None = None
    dropped_turns: int = 0


class Decided(Decision[ChatRequest], frozen=True, kw_only=True):
    """What became of a request for text."""


class Counted(Struct, frozen=True, kw_only=True):
    """The tokens of a prompt, as `candidate` counts them or, unless it was `asked`, as they are estimated for it."""

    candidate: Candidate
    prompt: TokenCount
    asked: bool
    ignored: tuple[str, ...]
    policy: str


class Journey(Generic[R]):
    """A request from its decision to its last byte; mutable, and owned by whoever walks its route.

    `tried` names the backends asked so far; `alone` says that nobody but the one asked at present may answer,
    `in_hand` that a weaker answer than the one asked for at present is held. `others` are asked next, in this order,
    if the one asked at present does not answer; its answer is to be held back for `held_s`. `left_nano` is what it and
    they may cost. `accepted` is the attempt whose answer was good enough as far as it had been read.
    """

    def __init__(self, arrival: Arrival[R], decided: Decision[R]) -> None:
        self.arrival = arrival
        self.request = decided.request
        self.decided = decided
        self.attempts: list[Attempt] = []
        self.tried: set[str] = set()
        self.alone = False
        self.in_hand = False
        self.others: Sequence[Candidate] = ()
        self.left_nano = math.inf
        self.held_s = 0.0
        self.passed_over: list[PassedOver] = []
        self.errors: list[AttemptError] = []
        self.escalated = False
        self.accepted: Attempt | None = None
        self.gave_up: str | None = None
        self._returned = False
        self.ttft_s: float | None = None

    @property
    def spent_nano(self) -> int:
        """What the physical calls cost so far; one that is under way, what it is expected to."""
        return sum(attempt.cost_nano for attempt in self.attempts)

    @property
    def evicted(self) -> bool:
        """Whether the gate has taken it back from an engine."""
        return any(isinstance(error, Evicted) for error in self.errors)

    def failed(self, candidate: Candidate, error: AttemptError) -> None:
        """A candidate did not answer."""
        self.errors.append(error)
        if isinstance(error, Rejected):
            self.passed_over.append(PassedOver(candidate.backend, candidate.tier, error.reason, str(error)))

    def outcome(
        self, status: OutcomeStatus, winner: Attempt | None, *, code: Code | None = None, http_status: int = 200
    ) -> Outcome:
        """The one record of this request; `winner` is the attempt whose answer went out, in part or in whole."""
        fate = AttemptStatus.CANCELLED if status is OutcomeStatus.CANCELLED else AttemptStatus.SUPERSEDED
        records = [attempt.record(AttemptStatus.ANSWERED if attempt is winner else fate) for attempt in self.attempts]
        answer = None if winner is None else records[self.attempts.index(winner)]
        return _outcome(
            self.arrival,
            status,
            code,
            http_status,
            run=self,
            answer=answer,
            records=tuple(records),
            ignored=self.request.ignored if winner is None else self.ignored_by(winner),
        )

    def ignored_by(self, attempt: Attempt) -> tuple[str, ...]:
        """Body fields that had no part in an attempt's answer: unknown here, or refused by its backend."""
        return tuple(sorted({*self.request.ignored, *attempt.ignored}))


class Run(Journey[ChatRequest]):
    """A request for text, which has more than one way to go."""

    def shortened(self, decided: Decided) -> None:
        """It goes on with fewer turns, because a backend counted more tokens than were estimated."""
        self.decided = decided
        self.request = decided.request

    def sent_away(self) -> Candidate | None:
        """Whose gate has sent this request to others, be it for want of time or room or because its engine stood still,
        before the one that failed just now.

        Told once: nobody comes back twice.
        """
        if self._returned:
            return None
        self._returned = True
        before = self.passed_over[:-1] if isinstance(self.errors[-1], Rejected) else self.passed_over
        names = [each.backend for each in before if each.reason in _SENT_AWAY]
        names += [each.candidate.backend for each in self.attempts if isinstance(each.error, Evicted)]
        return next((each for each in self.decided.route.candidates if each.backend in names), None)


def refused(arrival: Arrival[Any], error: AnswerError) -> Outcome:
    """The record of a request that nothing was decided for."""
    request = arrival.request
    return _outcome(arrival, OutcomeStatus.REFUSED, error.code, request.status_of(error), ignored=request.ignored)


def _outcome(  # noqa: PLR0913 - the one place where the record is put together
    arrival: Arrival[Any],
    status: OutcomeStatus,
    code: Code | None,
    http_status: int,
    *,
    run: Journey[Any] | None = None,
    answer: AttemptRecord | None = None,
    records: tuple[AttemptRecord, ...] = (),
    ignored: tuple[str, ...] = (),
) -> Outcome:
    request, identity = arrival.request, arrival.identity
    return Outcome(
        request_id=request.id,
        started_at=arrival.at,
        tenant=identity.tenant,
        key=identity.key,
        sla_class=identity.sla.name,
        region=request.hints.region,
        session=request.hints.session,
        stream=request.stream,
        requested_model=request.requested_model,
        classification=None if run is None else run.decided.classification,
        status=status,
        code=code,
        http_status=http_status,
        answer=answer,
        attempts=records,
        passed_over=() if run is None else tuple(run.passed_over),
        cost_nano=sum(record.cost_nano for record in records),
        escalated=run is not None and run.escalated,
        gave_up=None if run is None else run.gave_up,
        latency_s=arrival.elapsed(),
        ttft_s=None if run is None else run.ttft_s,
        decision_s=None if run is None else run.decided.took_s,
        policy=arrival.policy,
        ignored=ignored,
        max_output=None if run is None else run.decided.max_output,
        dropped_turns=0 if run is None else run.decided.dropped_turns,
    )
