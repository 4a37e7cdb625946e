"""The corridor of vectors: policy, the backends of one model, and one of them that answers.

They are never escalated and never spilled, for vectors of two models do not compare. A backend that fails is
followed by another of the same model, where there is one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from gateway.backends.breaker import Breaker
from gateway.entry import Entry
from gateway.errors import AttemptError, RequestError
from gateway.gate import Gate
from gateway.outcome import Outcome, OutcomeStatus
from gateway.policy import Policy
from gateway.ports import VectorBackend
from gateway.record import failed_decision, failed_walk
from gateway.refusals import nobody_allowed, nobody_answered
from gateway.routing import RoutingTable
from gateway.run import Arrival, Attempt, Decision, Journey
from gateway.settlement import Settlement, nothing
from gateway.tokens import estimate
from gateway.types import Classification, Complexity, Identity, TokenCount
from gateway.vector_routing import givers, plan_vectors
from gateway.vectors import SOURCE, TASK, EmbeddingRequest, Vectors


class EmbedderSettings(Struct, frozen=True, kw_only=True):
    """Plain values from the configuration; `policy_hash` names the rules in force."""

    max_attempts: int
    request_timeout_s: float
    policy_hash: str


class Embedder:
    """Answers requests for vectors. One per process. Holds one breaker per backend."""

    def __init__(
        self,
        policy: Policy,
        table: RoutingTable,
        backends: Mapping[str, VectorBackend],
        gate: Gate,
        record: Callable[[Outcome], None],
        settings: EmbedderSettings,
    ) -> None:
        self._policy = policy
        self._table = table
        self._backends = dict(backends)
        self._record = record
        self._settings = settings
        self.breakers = {backend.spec.answerer: Breaker() for backend in backends.values()}
        self._entry = Entry(self.breakers, gate, settings.max_attempts)

    async def embed(self, request: EmbeddingRequest, identity: Identity) -> tuple[Vectors, Outcome]:
        """The vectors, and the record of how they came about. Raises AnswerError."""
        arrival = Arrival.now(request, identity, self._settings.policy_hash)
        try:
            run = Journey(arrival, self._decide(request, identity))
        except Exception as error:
            self._record(failed_decision(arrival, error))
            raise
        try:
            attempt, vectors = await self._walk(run)
            _check_width(request, vectors)
        except (Exception, asyncio.CancelledError) as error:
            self._record(failed_walk(run, error))
            raise
        outcome = run.outcome(OutcomeStatus.OK, attempt)
        self._record(outcome)
        return vectors, outcome

    def _decide(self, request: EmbeddingRequest, identity: Identity) -> Decision[EmbeddingRequest]:
        started = time.perf_counter()
        deadline = asyncio.get_running_loop().time() + self._settings.request_timeout_s
        names = givers(self._table, request)
        counts = [estimate(each) if isinstance(each, str) else TokenCount(len(each)) for each in request.inputs]
        longest = max(count.tokens - count.error for count in counts)
        prompt = TokenCount(sum(count.tokens for count in counts), sum(count.error for count in counts))
        constraints = self._policy.constrain_vectors(request, identity, longest, deadline)
        route = plan_vectors(self._table, names, constraints, prompt)
        return Decision(
            request=request,
            constraints=constraints,
            classification=_classification(prompt),
            route=route,
            took_s=time.perf_counter() - started,
        )

    async def _walk(self, run: Journey[EmbeddingRequest]) -> tuple[Attempt, Vectors]:
        route = run.decided.route
        if not route.candidates:
            raise nobody_allowed(route.excluded, run.decided.constraints, "input")
        reason = route.candidates[0].reason
        for place, candidate in enumerate(route.candidates, 1):
            run.tried.add(candidate.backend)
            run.others = route.candidates[place:]
            alone = candidate is route.candidates[-1]
            try:
                call = _EmbedCall(run, self._backends[candidate.backend])
                return await self._entry.whole(run, candidate, reason, call, alone=alone)
            except AttemptError as error:
                run.failed(candidate, error)
                reason = error.reason
            if len(run.attempts) >= self._settings.max_attempts or _past(run):
                break
        raise nobody_answered(run.errors, deadline_passed=_past(run), param="input")


class _EmbedCall:
    """A call for vectors; see `entry.Call`. Vectors of another engine would not compare, so nobody stands by."""

    standby: None = None

    def __init__(self, run: Journey[EmbeddingRequest], backend: VectorBackend) -> None:
        self.spec = backend.spec
        self._run = run
        self._backend = backend

    @property
    def ignored(self) -> tuple[str, ...]:
        """Fields of the request that the backend is never sent."""
        return self._backend.ignores(self._run.request)

    async def make(self) -> Vectors:
        """Make it."""
        constraints = self._run.decided.constraints
        return await self._backend.embed(self._run.request, constraints.deadline, constraints.sla.priority)

    def expected(self) -> int:
        """Nothing is written, however it ends."""
        return nothing()

    def settle(self, settled: Settlement, answer: Vectors) -> None:
        """Write down a complete answer."""
        settled.answered(answer.model, answer.usage, None, nothing)


def _classification(prompt: TokenCount) -> Classification:
    """There is nothing to be found difficult; but that they are embeddings is what they have for a task."""
    return Classification(
        task=TASK,
        task_source=SOURCE,
        start=None,
        complexity=Complexity.LOW,
        score=0.0,
        p_light=1.0,
        prompt=prompt,
        expected_output=0,
        signals=(),
    )


def _check_width(request: EmbeddingRequest, vectors: Vectors) -> None:
    """Some backends take `dimensions` and do nothing about it; what they give would not fit where it is stored."""
    if request.dimensions not in (None, vectors.width):
        raise RequestError(
            f"vectors of this model have {vectors.width} numbers, and its backend does not shorten them",
            param="dimensions",
        )


def _past(run: Journey[EmbeddingRequest]) -> bool:
    return asyncio.get_running_loop().time() >= run.decided.constraints.deadline
