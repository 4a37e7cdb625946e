"""One candidate: enter, call for an answer in text, and settle what it cost."""

import asyncio
from collections.abc import Mapping
from functools import partial

from gateway.backends.breaker import Breaker
from gateway.entry import Entry, tell
from gateway.errors import AttemptError, BackendError, Reason, Rejected
from gateway.gate import Gate
from gateway.gate.permits import Permit
from gateway.messages import ChatRequest, Completion, Delta, Usage
from gateway.ports import AnswerStream, Backend, Call
from gateway.run import Attempt, Decided, Run
from gateway.settlement import Settlement, expected, nothing, written
from gateway.transcript import Transcript
from gateway.types import BackendSpec, Candidate, Capability, Tier

# What the gateway asks for to score an answer: the greedy token beside the chosen one.
_EVIDENCE_TOP_LOGPROBS = 1
# A count that takes longer than this is worth less than an estimate at once.
_COUNT_S = 10.0


class Attempts:
    """Makes candidates answer. Holds one breaker per backend, and one per standby."""

    def __init__(self, backends: Mapping[str, Backend], gate: Gate, max_attempts: int) -> None:
        self._backends = dict(backends)
        standbys = (backend.standby for backend in backends.values() if backend.standby is not None)
        self.breakers = {each.spec.answerer: Breaker() for each in (*backends.values(), *standbys)}
        self._entry = Entry(self.breakers, gate, max_attempts)

    async def complete(
        self, run: Run, candidate: Candidate, reason: Reason, *, alone: bool
    ) -> tuple[Attempt, Completion]:
        """The whole answer of `candidate`. `alone`: nobody else may answer. Raises AttemptError."""
        call = _TextCall(run, candidate, self._backends[candidate.backend])
        return await self._entry.whole(run, candidate, reason, call, alone=alone)

    async def open(self, run: Run, candidate: Candidate, reason: Reason, *, alone: bool) -> "OpenAnswer":
        """The answer of `candidate` in pieces, once its first ones are there. Raises AttemptError."""
        call = _TextCall(run, candidate, self._backends[candidate.backend])
        try:
            return await self._open(run, candidate, reason, call, alone=alone)
        except AttemptError as error:
            if not self._entry.may_enter_again(run, error, call, alone=alone):
                raise
        return await self._open(run, candidate, reason, call, alone=alone)

    async def count(self, request: ChatRequest, decided: Decided) -> int | None:
        """The tokens of a prompt, as the first candidate counts them; None where it cannot tell at present."""
        backend, now = self._backends[decided.route.candidates[0].backend], asyncio.get_running_loop().time()
        if self.breakers[backend.spec.answerer].open_for(now) > 0:
            return None
        try:
            return await backend.count(request, min(decided.constraints.deadline, now + _COUNT_S))
        except AttemptError:
            return None

    def ignored(self, name: str, request: ChatRequest) -> tuple[str, ...]:
        """Fields of a request that a backend is never sent."""
        return self._backends[name].ignores(request)

    async def _open(
        self, run: Run, candidate: Candidate, reason: Reason, call: "_TextCall", *, alone: bool
    ) -> "OpenAnswer":
        entry = self._entry
        permit, call = await entry.enter(run, candidate, call, alone=alone, streamed=True)
        try:
            while True:
                attempt = entry.begin(run, candidate, reason, call)
                settled = Settlement(attempt, self.breakers[call.spec.answerer], call.spec, run)
                try:
                    stream = await permit.within(partial(call.backend.stream, _call(run, candidate, call.spec)))
                except BackendError as error:
                    tell(permit, error)
                    settled.failed(error, nothing)
                    if not await entry.may_retry(run, error, alone=alone):
                        raise
                except Rejected as error:
                    tell(permit, error)
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


class _TextCall:
    """A call for text; see `entry.Call`."""

    def __init__(self, run: Run, candidate: Candidate, backend: Backend) -> None:
        self.spec = backend.spec
        self.backend = backend
        self._run = run
        self._candidate = candidate

    @property
    def standby(self) -> "_TextCall | None":
        """The same call of its standby."""
        other = self.backend.standby
        return None if other is None else _TextCall(self._run, self._candidate, other)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Fields of the request that the backend is never sent."""
        return self.backend.ignores(self._run.request)

    async def make(self) -> Completion:
        """Make it."""
        return await self.backend.complete(_call(self._run, self._candidate, self.spec))

    def expected(self) -> int:
        """Tokens of an answer that nobody has seen."""
        return expected(self._run)

    def settle(self, settled: Settlement, answer: Completion) -> None:
        """Write down a complete answer."""
        settled.answered(
            answer.model,
            answer.usage,
            answer.choices[0].finish_reason,
            partial(written, answer),
            pause_s=answer.pause_s,
        )


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
        permit, stream = self._permit, self._stream
        permit.listen()
        try:
            deltas = await (stream.batch() if self.transcript.tokens else permit.within(stream.batch))
        except BackendError as error:
            tell(permit, error)
            self._settlement.failed(error, self._written, stream.usage)
            self._release()
            raise
        if not deltas:
            finish = next(
                (delta.finish_reason for delta in reversed(self.transcript.deltas) if delta.finish_reason), ""
            )
            self._settlement.answered(stream.model, stream.usage, finish, self._written, pause_s=stream.pause_s)
            self._release()
            return deltas
        tokens = self.transcript.extend(deltas)
        if tokens:
            permit.token(tokens)
            if self.attempt.ttft_s is None:
                self.attempt.ttft_s = self.attempt.elapsed()
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
            self._settlement.cancelled(self._written, self._stream.usage)
            self._release()

    def _written(self) -> int:
        """Tokens that have come: each piece is one at least."""
        return max(self.transcript.tokens, written(self.completion()))

    def _release(self) -> None:
        self.ended = True
        self._stream.close()
        self._permit.release()


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
        priority=run.decided.constraints.sla.priority,
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
