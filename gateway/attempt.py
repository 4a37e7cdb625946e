"""One candidate: check the constraints once more, pass the breaker and the gate, call, and settle what it cost."""

import asyncio
from collections.abc import Mapping
from functools import partial

from gateway.backends.breaker import Breaker
from gateway.errors import AttemptError, BackendError, Broken, EngineGone, Reason, Refused, Rejected
from gateway.gate import Gate
from gateway.gate.permits import Permit
from gateway.messages import ChatRequest, Completion, Delta, Usage
from gateway.ports import AnswerStream, Backend, Call
from gateway.run import Attempt, Decided, Run
from gateway.settlement import UNTOLD_WAIT_S, Settlement, expected, nothing, written
from gateway.transcript import Transcript
from gateway.types import BackendSpec, Candidate, Capability, Tier

# What the gateway asks for to score an answer: the greedy token beside the chosen one.
_EVIDENCE_TOP_LOGPROBS = 1
_RETRY_WAIT_S = 2.0
# A count that takes longer than this is worth less than an estimate at once.
_COUNT_S = 10.0


class Attempts:
    """Makes candidates answer. Holds one breaker per backend."""

    def __init__(self, backends: Mapping[str, Backend], gate: Gate, max_attempts: int) -> None:
        self._backends = dict(backends)
        self._gate = gate
        self._max_attempts = max_attempts
        self.breakers = {name: Breaker() for name in backends}

    async def complete(
        self, run: Run, candidate: Candidate, reason: Reason, *, alone: bool
    ) -> tuple[Attempt, Completion]:
        """The whole answer of `candidate`. `alone`: nobody else may answer. Raises AttemptError."""
        try:
            return await self._complete(run, candidate, reason, alone=alone)
        except EngineGone:
            # Who has nobody else to ask waits at the gate once more, for its successor.
            if not alone:
                raise
        return await self._complete(run, candidate, reason, alone=alone)

    async def open(self, run: Run, candidate: Candidate, reason: Reason, *, alone: bool) -> "OpenAnswer":
        """The answer of `candidate` in pieces, once its first ones are there. Raises AttemptError."""
        try:
            return await self._open(run, candidate, reason, alone=alone)
        except EngineGone:
            if not alone:
                raise
        return await self._open(run, candidate, reason, alone=alone)

    async def count(self, request: ChatRequest, decided: Decided) -> int | None:
        """The tokens of a prompt, as the first candidate counts them; None where it cannot tell at present."""
        name, now = decided.route.candidates[0].backend, asyncio.get_running_loop().time()
        if self.breakers[name].open_for(now) > 0:
            return None
        try:
            return await self._backends[name].count(request, min(decided.constraints.deadline, now + _COUNT_S))
        except AttemptError:
            return None

    def ignored(self, name: str, request: ChatRequest) -> tuple[str, ...]:
        """Fields of a request that a backend is never sent."""
        return self._backends[name].ignores(request)

    async def _complete(
        self, run: Run, candidate: Candidate, reason: Reason, *, alone: bool
    ) -> tuple[Attempt, Completion]:
        backend = self._backends[candidate.backend]
        permit = await self._enter(run, candidate, backend, alone=alone)
        try:
            while True:
                attempt = self._begin(run, candidate, reason, backend)
                settled = Settlement(attempt, self.breakers[candidate.backend], backend.spec, run)
                try:
                    completion = await backend.complete(_call(run, candidate, backend.spec))
                except BackendError as error:
                    _tell(permit, error)
                    settled.failed(error, partial(expected, run))
                    if not await self._may_retry(run, error, alone=alone):
                        raise
                except Rejected as error:
                    _tell(permit, error)
                    settled.never_began()
                    raise
                except BaseException:
                    settled.cancelled(partial(expected, run))
                    raise
                else:
                    settled.answered(
                        completion.model,
                        completion.usage,
                        completion.choices[0].finish_reason,
                        partial(written, completion),
                        pause_s=completion.pause_s,
                    )
                    return attempt, completion
        finally:
            permit.release()

    async def _open(self, run: Run, candidate: Candidate, reason: Reason, *, alone: bool) -> "OpenAnswer":
        backend = self._backends[candidate.backend]
        permit = await self._enter(run, candidate, backend, alone=alone)
        try:
            while True:
                attempt = self._begin(run, candidate, reason, backend)
                settled = Settlement(attempt, self.breakers[candidate.backend], backend.spec, run)
                try:
                    stream = await backend.stream(_call(run, candidate, backend.spec))
                except BackendError as error:
                    _tell(permit, error)
                    settled.failed(error, nothing)
                    if not await self._may_retry(run, error, alone=alone):
                        raise
                except Rejected as error:
                    _tell(permit, error)
                    settled.never_began()
                    raise
                except BaseException:
                    settled.cancelled(nothing)
                    raise
                else:
                    return OpenAnswer(attempt, stream, permit, settled)
        except BaseException:
            permit.release()
            raise

    async def _enter(self, run: Run, candidate: Candidate, backend: Backend, *, alone: bool) -> Permit:
        constraints = run.decided.constraints
        forbidden = constraints.forbids(backend.spec, candidate.tier)
        if forbidden is not None:
            raise Rejected(f"{candidate.backend} is not allowed for this request", reason=forbidden)
        if asyncio.get_running_loop().time() >= constraints.deadline:
            raise Rejected(f"{candidate.backend} was not asked: the request's time is up", reason=Reason.DEADLINE)
        engine = backend.spec.engine
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
        breaker, now = self.breakers[name], asyncio.get_running_loop().time()
        wait = breaker.open_for(now)
        if wait > 0 and breaker.told(now):
            raise Rejected(f"{name} wants no call for {wait:.0f} s", reason=Reason.RATE_LIMIT, retry_after=wait)
        if wait > 0:
            raise Rejected(
                f"{name} failed lately and is left alone for {wait:.0f} s",
                reason=Reason.UPSTREAM_ERROR,
                retry_after=wait,
            )

    def _begin(self, run: Run, candidate: Candidate, reason: Reason, backend: Backend) -> Attempt:
        attempt = Attempt(len(run.attempts) + 1, candidate, reason, backend.served_by)
        attempt.ignored = backend.ignores(run.request)
        run.attempts.append(attempt)
        self.breakers[candidate.backend].enter(asyncio.get_running_loop().time())
        return attempt

    async def _may_retry(self, run: Run, error: BackendError, *, alone: bool) -> bool:
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
        if then >= run.decided.constraints.deadline or self._breaker_of(run.attempts[-1]).open_for(then) > 0:
            return False
        if wait:
            await asyncio.sleep(wait)
        return True

    def _breaker_of(self, attempt: Attempt) -> Breaker:
        return self.breakers[attempt.candidate.backend]


class OpenAnswer:
    """An answer that arrives in pieces, together with everything that must be given back when it ends."""

    def __init__(self, attempt: Attempt, stream: AnswerStream, permit: Permit, settlement: Settlement) -> None:
        self.attempt = attempt
        self.transcript = Transcript()
        self.ended = False
        self._stream = stream
        self._permit = permit
        self._settlement = settlement

    @property
    def model(self) -> str:
        """What answers, as the backend says."""
        return self._stream.model

    @property
    def usage(self) -> Usage:
        """Tokens as far as the backend has counted them."""
        return self._stream.usage

    async def batch(self) -> list[Delta]:
        """The pieces since the last call; empty at a proper end. Raises BackendError, after which it is closed."""
        try:
            deltas = await self._stream.batch()
        except BackendError as error:
            _tell(self._permit, error)
            self._settlement.failed(error, self._written)
            self._release()
            raise
        if not deltas:
            finish = next(
                (delta.finish_reason for delta in reversed(self.transcript.deltas) if delta.finish_reason), ""
            )
            stream = self._stream
            self._settlement.answered(stream.model, stream.usage, finish, self._written, pause_s=stream.pause_s)
            self._release()
            return deltas
        if self.attempt.ttft_s is None and any(delta.says_something for delta in deltas):
            self.attempt.ttft_s = self.attempt.elapsed()
        self.transcript.extend(deltas)
        return deltas

    def completion(self) -> Completion:
        """What has come so far."""
        return self.transcript.completion(self._stream.model, self._stream.usage)

    def discard(self) -> None:
        """Another answer goes out instead."""
        if not self.ended:
            self._settlement.cut(self._stream.model, self._stream.usage, self._written)
            self._release()

    def cancel(self) -> None:
        """The caller hung up."""
        if not self.ended:
            self._settlement.cancelled(self._written)
            self._release()

    def _written(self) -> int:
        """Tokens that have come: each piece is one at least."""
        return max(self.transcript.tokens, written(self.completion()))

    def _release(self) -> None:
        self.ended = True
        self._stream.close()
        self._permit.release()


def _tell(permit: Permit, error: AttemptError) -> None:
    """A connection that breaks is the first sign of an engine that has died."""
    if isinstance(error, Broken | EngineGone):
        permit.doubt()


def _call(run: Run, candidate: Candidate, spec: BackendSpec) -> Call:
    request = run.request
    top = request.top_logprobs if request.logprobs else None
    if candidate.tier is not Tier.PREMIUM and Capability.LOGPROBS in spec.capabilities:
        top = max(top or 0, _EVIDENCE_TOP_LOGPROBS)
    return Call(
        request=request,
        deadline=run.decided.constraints.deadline,
        max_tokens=_room(run, spec),
        top_logprobs=top,
    )


def _room(run: Run, spec: BackendSpec) -> int | None:
    """The caller's `max_tokens`, lowered where the backend's context or output limit leaves less."""
    wanted = run.request.sampling.max_tokens
    if wanted is None:
        return None
    prompt = run.decided.classification.prompt
    room = [wanted]
    if spec.context is not None:
        room.append(max(1, spec.context - prompt.tokens - prompt.error))
    if spec.max_output is not None:
        room.append(spec.max_output)
    return min(room)
