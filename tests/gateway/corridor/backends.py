"""Backends that keep the contract of `ports.Backend`, and do what a test tells them to.

Every call takes turns of the loop, as a real one does, so that a caller may hang up at each of them. A backend that
is used against its contract fails the test.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from gateway.errors import AttemptError
from gateway.messages import ChatRequest, Completion, Delta, TokenLogprob, Usage, UsageQuality
from gateway.ports import Call
from gateway.types import BackendSpec
from tests.gateway.nouns import CHOICE, COMPLETION, USAGE, change

TURNS = 3
"""Turns of the loop that each step of a call takes."""


class Pause(Struct, frozen=True):
    """Silence: for some seconds, or until an event."""

    seconds: float = 0.0
    until: asyncio.Event | None = None


class Whole(Struct, frozen=True):
    """How one call goes: pauses, then an answer or an error. A streamed call of it says the answer in one piece."""

    outcome: Completion | AttemptError | RuntimeError
    pause: Pause = Pause()


Step = list[Delta] | Pause | AttemptError | RuntimeError


class Streamed(Struct, frozen=True):
    """How one streamed call goes, step by step; without an error among the steps it ends properly.

    `early` is what the backend has counted before its answer begins.
    """

    steps: tuple[Step, ...]
    usage: Usage = USAGE
    model: str = "streamed-1.0"
    pause_s: float = 0.0
    early: Usage = Usage()


Behaviour = Whole | Streamed


def says(text: str, finish_reason: str = "stop", usage: Usage = USAGE) -> Whole:
    """An answer of this text."""
    return Whole(change(COMPLETION, choices=(change(CHOICE, text=text, finish_reason=finish_reason),), usage=usage))


def pieces(*texts: str, finish_reason: str = "stop") -> tuple[Step, ...]:
    """One batch for each text, and one for the end."""
    return (*([Delta(text=text)] for text in texts), [Delta(finish_reason=finish_reason)])


def tokens(text: str, count: int = 1) -> Delta:
    """A piece that tells how many tokens it is made of."""
    return Delta(text=text, logprobs=(TokenLogprob(text, -0.1),) * count)


async def turn() -> None:
    """Let others run for a while."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def rest(pause: Pause) -> None:
    """Be silent."""
    await turn()
    if pause.seconds:
        await asyncio.sleep(pause.seconds)
    if pause.until is not None:
        await pause.until.wait()


class FakeStream:
    """An open answer; see `ports.AnswerStream`."""

    def __init__(self, behaviour: Streamed) -> None:
        self._steps = deque(behaviour.steps)
        self._behaviour = behaviour
        self._reading = False
        self.closed = 0
        self.ended = False
        self.model = ""
        self.usage = behaviour.early
        self.pause_s = behaviour.pause_s

    async def batch(self) -> list[Delta]:
        """The next pieces."""
        assert not self.closed, "read after it was closed"
        assert not self._reading, "read by two at a time"
        self._reading = True
        try:
            return await self._next()
        finally:
            self._reading = False

    async def _next(self) -> list[Delta]:
        await turn()
        while self._steps:
            step = self._steps[0]
            if isinstance(step, Pause):
                # A wait that was given up goes on when somebody waits again.
                await rest(step)
                self._steps.popleft()
                continue
            self._steps.popleft()
            if not isinstance(step, list):
                raise step
            self.model = self._behaviour.model
            return step
        self.usage = self._behaviour.usage
        self.ended = True
        return []

    def close(self) -> None:
        """Hang up."""
        self.closed += 1
        assert self.closed == 1, "closed twice"


class FakeBackend:
    """Answers each call by the next of its behaviours, and by the last one from then on."""

    def __init__(self, spec: BackendSpec, *behaviours: Behaviour, ignored: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self.standby: FakeBackend | None = None
        self.calls: list[Call] = []
        self.streams: list[FakeStream] = []
        self.in_progress = 0
        self._behaviours = deque(behaviours)
        self.ignored = ignored
        self.counted: list[ChatRequest] = []
        self.counts: int | AttemptError | None = None

    def ignores(self, request: ChatRequest) -> tuple[str, ...]:
        """Fields that it is not sent."""
        return self.ignored if request.messages else ()

    async def complete(self, call: Call) -> Completion:
        """The whole answer."""
        behaviour = self._next(call)
        assert isinstance(behaviour, Whole), "a streamed behaviour for an unstreamed call"
        self.in_progress += 1
        try:
            await rest(behaviour.pause)
        finally:
            self.in_progress -= 1
        if isinstance(behaviour.outcome, Completion):
            return behaviour.outcome
        raise behaviour.outcome

    async def stream(self, call: Call) -> FakeStream:
        """The answer in pieces."""
        behaviour = self._next(call)
        self.in_progress += 1
        try:
            if isinstance(behaviour, Whole):
                await rest(behaviour.pause)
                if not isinstance(behaviour.outcome, Completion):
                    raise behaviour.outcome
                behaviour = _in_pieces(behaviour.outcome)
            else:
                await turn()
        finally:
            self.in_progress -= 1
        self.streams.append(FakeStream(behaviour))
        return self.streams[-1]

    async def count(self, request: ChatRequest, _deadline: float) -> int | None:
        """The tokens of its prompt."""
        await turn()
        self.counted.append(request)
        if isinstance(self.counts, AttemptError):
            raise self.counts
        return self.counts

    @property
    def open_streams(self) -> int:
        """Answers that nobody has closed."""
        return sum(not stream.closed for stream in self.streams)

    def _next(self, call: Call) -> Behaviour:
        self.calls.append(call)
        return self._behaviours.popleft() if len(self._behaviours) > 1 else self._behaviours[0]


def _in_pieces(completion: Completion) -> Streamed:
    return Streamed(tuple(_steps(completion)), completion.usage, completion.model, completion.pause_s)


def _steps(completion: Completion) -> Iterable[Step]:
    for choice in completion.choices:
        if choice.text:
            yield [Delta(index=choice.index, text=choice.text, logprobs=choice.logprobs)]
        yield [Delta(index=choice.index, finish_reason=choice.finish_reason)]


UNTOLD = Usage(quality=UsageQuality.UNKNOWN)
"""The usage of a backend that counts nothing."""
