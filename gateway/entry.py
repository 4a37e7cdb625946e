"""What every physical call passes, whatever it asks for: the constraints once more, the breaker, and the gate.

Here stands as well when the same backend is asked a second time: only where it is certain that nothing was billed.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from gateway.backends.breaker import Breaker
from gateway.errors import AttemptError, BackendError, Broken, EngineGone, Reason, Refused, Rejected
from gateway.gate import Gate
from gateway.gate.permits import Permit
from gateway.run import Attempt, Journey
from gateway.settlement import UNTOLD_WAIT_S, Settlement
from gateway.types import BackendSpec, Candidate

A = TypeVar("A")

_RETRY_WAIT_S = 2.0


class Callee(Protocol):
    """A backend, as one request concerns it."""

    @property
    def spec(self) -> BackendSpec:
        """Whom it goes to."""

    @property
    def served_by(self) -> str | None:
        """The engine that answers at present."""

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


class Entry:
    """Lets calls through to backends, each of which has its breaker."""

    def __init__(self, breakers: Mapping[str, Breaker], gate: Gate, max_attempts: int) -> None:
        self._breakers = breakers
        self._gate = gate
        self._max_attempts = max_attempts

    async def whole(
        self, run: Journey[Any], candidate: Candidate, reason: Reason, call: Call[A], *, alone: bool
    ) -> tuple[Attempt, A]:
        """A whole answer. `alone`: nobody else may give it. Raises AttemptError."""
        try:
            return await self._whole(run, candidate, reason, call, alone=alone)
        except EngineGone:
            # Who has nobody else to ask waits at the gate once more, for its successor.
            if not alone:
                raise
        return await self._whole(run, candidate, reason, call, alone=alone)

    async def _whole(
        self, run: Journey[Any], candidate: Candidate, reason: Reason, call: Call[A], *, alone: bool
    ) -> tuple[Attempt, A]:
        permit = await self.enter(run, candidate, call.spec, alone=alone)
        try:
            while True:
                attempt = self.begin(run, candidate, reason, call)
                settled = Settlement(attempt, self._breakers[candidate.backend], call.spec, run)
                try:
                    answer = await call.make()
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
                    call.settle(settled, answer)
                    return attempt, answer
        finally:
            permit.release()

    async def enter(self, run: Journey[Any], candidate: Candidate, spec: BackendSpec, *, alone: bool) -> Permit:
        """Leave to call a backend, to be given back. Raises Rejected."""
        constraints = run.decided.constraints
        forbidden = constraints.forbids(spec, candidate.tier)
        if forbidden is not None:
            raise Rejected(f"{candidate.backend} is not allowed for this request", reason=forbidden)
        if asyncio.get_running_loop().time() >= constraints.deadline:
            raise Rejected(f"{candidate.backend} was not asked: the request's time is up", reason=Reason.DEADLINE)
        engine = spec.engine
        # What an engine that is down has done says nothing of its successor, which is worth waiting for.
        if engine is None or self._gate.is_open(engine):
            self._left_alone(candidate.backend)
        if engine is None:
            return Permit(lambda: None)
        permit = await self._gate.enter(engine, constraints.sla, alone=alone, deadline=constraints.deadline)
        try:
            self._left_alone(candidate.backend)
        except Rejected:
            permit.release()
            raise
        return permit

    def _left_alone(self, name: str) -> None:
        """Raises Rejected for a backend that keeps failing, or that has asked for a pause."""
        breaker, now = self._breakers[name], asyncio.get_running_loop().time()
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
        attempt = Attempt(len(run.attempts) + 1, candidate, reason, callee.served_by)
        attempt.ignored = callee.ignored
        attempt.via = run.request.via(callee.spec)
        run.attempts.append(attempt)
        self._breakers[candidate.backend].enter(asyncio.get_running_loop().time())
        return attempt

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
        breaker = self._breakers[run.attempts[-1].candidate.backend]
        if then >= run.decided.constraints.deadline or breaker.open_for(then) > 0:
            return False
        if wait:
            await asyncio.sleep(wait)
        return True


def tell(permit: Permit, error: AttemptError) -> None:
    """A connection that breaks is the first sign of an engine that has died."""
    if isinstance(error, Broken | EngineGone):
        permit.doubt()
