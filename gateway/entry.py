"""What every physical call passes, whatever it asks for: the constraints once more, the breaker, and the gate.

Here stands as well when the same backend is asked a second time: only where it is certain that nothing was billed.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, Self, TypeVar

from gateway.backends.breaker import Breaker
from gateway.errors import AttemptError, BackendError, Broken, EngineGone, Reason, Refused, Rejected
from gateway.gate import Applicant, Ask, Elsewhere, Gate
from gateway.gate.permits import Permit
from gateway.run import Attempt, Journey
from gateway.settlement import UNTOLD_WAIT_S, Settlement
from gateway.types import Answerer, BackendSpec, Candidate

A = TypeVar("A")

_RETRY_WAIT_S = 2.0
_LEAST_LEFT = 0.5
"""Holding an answer back takes at most the rest of its objective: one that is shorter keeps nobody out."""


class Callee(Protocol):
    """A backend, as one request concerns it."""

    @property
    def spec(self) -> BackendSpec:
        """Whom it goes to."""

    @property
    def standby(self) -> Self | None:
        """Who will do while its engine is not up."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Fields of the request that the backend is never sent."""


class Call(Callee, Protocol[A]):
    """A call that can be made, whose answer comes as a whole."""

    async def make(self) -> A:
        """Make it. Raises BackendError or Rejected."""

    def expected(self) -> int:
        """Tokens of an answer that nobody has seen."""

    def settle(self, settled: Settlement, answer: A) -> None:
        """Write down a complete answer."""


C = TypeVar("C", bound=Callee)


class Entry:
    """Lets calls through to backends, each of which has its breaker, and its standby another."""

    def __init__(self, breakers: Mapping[Answerer, Breaker], gate: Gate, max_attempts: int) -> None:
        self._breakers = breakers
        self._gate = gate
        self._max_attempts = max_attempts
        self._of: dict[str, list[Breaker]] = {}
        for (name, _), breaker in breakers.items():
            self._of.setdefault(name, []).append(breaker)

    async def whole(
        self, run: Journey[Any], candidate: Candidate, reason: Reason, call: Call[A], *, alone: bool
    ) -> tuple[Attempt, A]:
        """A whole answer. `alone`: nobody else may give it. Raises AttemptError."""
        try:
            return await self._whole(run, candidate, reason, call, alone=alone)
        except AttemptError as error:
            if not self.may_enter_again(run, error, call, alone=alone):
                raise
        return await self._whole(run, candidate, reason, call, alone=alone)

    async def _whole(
        self, run: Journey[Any], candidate: Candidate, reason: Reason, call: Call[A], *, alone: bool
    ) -> tuple[Attempt, A]:
        permit, call = await self.enter(run, candidate, call, alone=alone)
        try:
            while True:
                attempt = self.begin(run, candidate, reason, call)
                settled = Settlement(attempt, self._breakers[call.spec.answerer], call.spec, run)
                try:
                    answer = await permit.within(call.make)
                except BackendError as error:
                    tell(permit, error)
                    settled.failed(error, call.expected)
                    if not await self.may_retry(run, error, alone=alone):
                        raise
                except Rejected as error:
                    tell(permit, error)
                    settled.never_began()
                    raise
                except BaseException:
                    settled.cancelled(call.expected)
                    raise
                else:
                    permit.token(1)
                    call.settle(settled, answer)
                    return attempt, answer
        finally:
            permit.release()

    async def enter(  # each is another question to whoever may answer
        self, run: Journey[Any], candidate: Candidate, callee: C, *, alone: bool, streamed: bool = False
    ) -> tuple[Permit, C]:
        """Leave to call a backend, to be given back, and who is to be called: it, or its standby. `streamed`: tokens
        are told as they come. Raises Rejected.
        """
        constraints, spec = run.decided.constraints, callee.spec
        forbidden = constraints.forbids(spec, candidate.tier)
        if forbidden is not None:
            raise Rejected(f"{candidate.backend} is not allowed for this request", reason=forbidden)
        clock = asyncio.get_running_loop().time
        now = clock()
        if now >= constraints.deadline:
            raise Rejected(f"{candidate.backend} was not asked: the request's time is up", reason=Reason.DEADLINE)
        engine = spec.engine
        # What an engine that is down has done says nothing of its successor, which is worth waiting for.
        if engine is None or self._gate.is_open(engine):
            self._left_alone(spec, now)
        if engine is None:
            return Permit(lambda: None), callee
        other = callee.standby
        # It can do less, perhaps: what it must not do waits for the engine.
        standby = other is not None and constraints.forbids(other.spec, candidate.tier) is None
        elsewhere = None if alone else self._elsewhere(run, now)
        applicant = Applicant(
            ask=_ask(run, now, streamed=streamed),
            elsewhere=elsewhere,
            deadline=constraints.deadline,
            standby=standby,
            leaves=None if elsewhere is None else partial(self._leaves, run, engine),
        )
        permit = await self._gate.enter(engine, applicant)
        if other is not None and permit.engine != engine:
            callee = other
        try:
            self._left_alone(callee.spec, clock())
        except Rejected:
            permit.release()
            raise
        return permit, callee

    def _elsewhere(self, run: Journey[Any], now: float) -> Elsewhere | None:
        """Who answers if the box does not: the next candidate that is not left alone at present, or what is held."""
        for other in run.others:
            for breaker in self._of[other.backend]:
                if breaker.open_for(now) <= 0:
                    return Elsewhere(other.cost_nano)
        return Elsewhere(0) if run.in_hand else None

    def _leaves(self, run: Journey[Any], engine: str) -> bool:
        """Whether a request that is taken back from an engine, once, would have somebody else to ask at once."""
        now, left_nano = asyncio.get_running_loop().time(), run.left_nano - run.attempts[-1].cost_nano
        if len(run.attempts) >= self._max_attempts or now >= run.decided.constraints.deadline or run.evicted:
            return False
        return run.in_hand or any(
            other.cost_nano <= left_nano and self._answers(other.backend, engine, now) for other in run.others
        )

    def _answers(self, backend: str, instead_of: str, now: float) -> bool:
        """Whether nothing is known that would keep a backend from answering, on another engine if on any."""
        return any(
            breaker.open_for(now) <= 0 and (engine is None or (engine != instead_of and self._gate.gets_on(engine)))
            for (name, engine), breaker in self._breakers.items()
            if name == backend
        )

    def _left_alone(self, spec: BackendSpec, now: float) -> None:
        """Raises Rejected for a backend that keeps failing, or that has asked for a pause."""
        name, breaker = spec.name, self._breakers[spec.answerer]
        wait = breaker.open_for(now)
        if wait > 0 and breaker.told(now):
            raise Rejected(f"{name} wants no call for {wait:.0f} s", reason=Reason.RATE_LIMIT, retry_after=wait)
        if wait > 0:
            raise Rejected(
                f"{name} failed lately and is left alone for {wait:.0f} s",
                reason=Reason.UPSTREAM_ERROR,
                retry_after=wait,
            )

    def begin(self, run: Journey[Any], candidate: Candidate, reason: Reason, callee: Callee) -> Attempt:
        """The next attempt of a request, which is about to be made."""
        attempt = Attempt(len(run.attempts) + 1, candidate, reason, callee.spec.engine)
        attempt.ignored = callee.ignored
        attempt.via = run.request.via(callee.spec)
        run.attempts.append(attempt)
        self._breakers[attempt.answerer].enter(asyncio.get_running_loop().time())
        return attempt

    def may_enter_again(self, run: Journey[Any], error: AttemptError, callee: Callee, *, alone: bool) -> bool:
        """Whether who has nobody else to ask goes to the gate once more: for the successor of an engine that has died,
        or for the standby of one that broke off its answer, before anything of it was passed on.
        """
        if isinstance(error, Broken):
            return alone and callee.standby is not None and len(run.attempts) < self._max_attempts
        return alone and isinstance(error, EngineGone)

    async def may_retry(self, run: Journey[Any], error: BackendError, *, alone: bool) -> bool:
        """Whether the same backend is asked once more: only where nothing was billed, and nobody else would do."""
        tried_before = len(run.attempts) > 1 and run.attempts[-1].candidate is run.attempts[-2].candidate
        if not error.retryable or tried_before or len(run.attempts) >= self._max_attempts:
            return False
        wait = 0.0
        if isinstance(error, Refused):
            wait = UNTOLD_WAIT_S if error.retry_after is None else error.retry_after
            if not alone or wait > _RETRY_WAIT_S:
                return False
        then = asyncio.get_running_loop().time() + wait
        breaker = self._breakers[run.attempts[-1].answerer]
        if then >= run.decided.constraints.deadline or breaker.open_for(then) > 0:
            return False
        if wait:
            await asyncio.sleep(wait)
        return True


def tell(permit: Permit, error: AttemptError) -> None:
    """A connection that breaks is the first sign of an engine that has died."""
    if isinstance(error, Broken | EngineGone):
        permit.doubt()


def _ask(run: Journey[Any], now: float, *, streamed: bool) -> Ask:
    """What the gate is asked for. The time that the answer will be held back is part of its objective."""
    sla = run.decided.constraints.sla
    first_s = None if sla.ttft_s is None else max(sla.ttft_s - run.held_s, _LEAST_LEFT * sla.ttft_s)
    return Ask(
        prompt=run.decided.classification.prompt.tokens,
        arrived_at=now - run.arrival.elapsed(),
        first_s=first_s,
        gap_s=sla.itl_s,
        streamed=streamed,
        priority=sla.priority,
    )
