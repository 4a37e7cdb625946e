"""From deltas to answers: how chat and completions shape them, whole or as the chunks of a stream."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from local_models.llama.jobs import Delta, Finish
from local_models.llama.logprobs import TokenLogprob
from local_models.llama.objects import (
    Answer,
    AssistantMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatDelta,
    ChatFinish,
    ChatLogprob,
    ChatLogprobs,
    TextChoice,
    TextLogprobs,
    TopLogprob,
    Usage,
)
from local_models.llama.speaker import Speaker
from local_models.llama.textstream import Placed
from local_models.llama.tools.notation import Notation

_FLOOR: Final = -9999.0
"""What stands for a log-probability of minus infinity, which JSON cannot say; vLLM's value."""


@dataclass(slots=True)
class Collected:
    """One choice, gathered until it is whole."""

    texts: list[str] = field(default_factory=list)
    tokens: list[Placed[TokenLogprob]] = field(default_factory=list)
    generated: int = 0
    finish: Finish = "stop"
    stop: str | None = None
    cached: int = 0

    def add(self, delta: Delta) -> None:
        """Take in one step."""
        self.texts.append(delta.text)
        self.tokens.extend(delta.tokens)
        self.generated = delta.generated
        self.cached = delta.cached
        self.finish = delta.finish or self.finish
        self.stop = delta.stop


@dataclass(frozen=True, slots=True)
class Heading:
    """What every object of one answer repeats."""

    id: str
    created: int
    model: str
    labels: tuple[bytes, ...]
    """The vocabulary's bytes by token, for logprobs."""
    logprobs: bool
    stream_usage: bool
    """Chunks say `usage: null` until the last one has it."""

    def label(self, token: int) -> str:
        """A token as text; a part of a character shows as U+FFFD and is exact in `bytes`."""
        return self.labels[token].decode("utf-8", "replace")


class Shape(Protocol):
    """How one endpoint's answers look. Every method returns one JSON object."""

    def whole(self, choices: list[Collected], usage: Usage) -> bytes:
        """The unstreamed answer."""
        ...

    def opening(self, choice: int) -> bytes | None:
        """The chunk that opens a choice, where the endpoint has one."""
        ...

    def chunk(self, delta: Delta) -> bytes | None:
        """The chunk for one step; None when there is nothing to say yet."""
        ...

    def usage(self, usage: Usage) -> bytes:
        """The last chunk when the client asked for usage."""
        ...


class ChatShape:
    """`/v1/chat/completions`. With a `notation`, answers may hold calls of tools, written that way."""

    def __init__(self, heading: Heading, notation: Notation | None = None) -> None:
        self._heading = heading
        self._notation = notation
        self._speakers: dict[int, Speaker] = {}
        self._encode = msgspec.json.Encoder().encode

    def whole(self, choices: list[Collected], usage: Usage) -> bytes:
        """See `Shape`."""
        done = [self._choice(index, choice) for index, choice in enumerate(choices)]
        heading = self._heading
        return self._encode(Answer(heading.id, "chat.completion", heading.created, heading.model, done, usage))

    def opening(self, choice: int) -> bytes | None:
        """See `Shape`."""
        if self._notation is not None:
            self._speakers[choice] = Speaker(self._notation)
        return self._chunk([ChatChunkChoice(choice, ChatDelta("assistant", ""), None, None)])

    def chunk(self, delta: Delta) -> bytes | None:
        """See `Shape`."""
        speaker = self._speakers.get(delta.choice)
        if speaker is None:
            said = ChatDelta(content=delta.text) if delta.text or delta.tokens else ChatDelta()
            finish: ChatFinish | None = delta.finish
        else:
            said = speaker.said(delta.text, over=delta.finish is not None)
            finish = _chat_finish(delta.finish, calls=speaker.calls)
        if said == ChatDelta() and not (delta.tokens or finish):
            return None
        logprobs = self._logprobs(delta.tokens) if delta.tokens else None
        return self._chunk([ChatChunkChoice(delta.choice, said, logprobs, finish, _stop_reason(delta))])

    def usage(self, usage: Usage) -> bytes:
        """See `Shape`."""
        return self._chunk([], usage)

    def _choice(self, index: int, choice: Collected) -> ChatChoice:
        text = "".join(choice.texts)
        message, finish = AssistantMessage("assistant", text), _chat_finish(choice.finish, calls=0)
        if self._notation is not None:
            speaker = Speaker(self._notation)
            message = speaker.message(text)
            finish = _chat_finish(choice.finish, calls=speaker.calls)
        return ChatChoice(index, message, self._logprobs(choice.tokens), finish or "stop", choice.stop)

    def _chunk(self, choices: list[ChatChunkChoice], usage: Usage | None = None) -> bytes:
        heading = self._heading
        shown = usage if usage is not None or heading.stream_usage else UNSET
        return self._encode(Answer(heading.id, "chat.completion.chunk", heading.created, heading.model, choices, shown))

    def _logprobs(self, tokens: Sequence[Placed[TokenLogprob]]) -> ChatLogprobs | None:
        return ChatLogprobs([self._entry(placed.token) for placed in tokens]) if self._heading.logprobs else None

    def _entry(self, described: TokenLogprob) -> ChatLogprob:
        heading = self._heading
        top = [
            TopLogprob(heading.label(token), max(value, _FLOOR), list(heading.labels[token]))
            for token, value in described.top
        ]
        token = described.token
        return ChatLogprob(heading.label(token), max(described.logprob, _FLOOR), list(heading.labels[token]), top)


class TextShape:
    """`/v1/completions`."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._encode = msgspec.json.Encoder().encode

    def whole(self, choices: list[Collected], usage: Usage) -> bytes:
        """See `Shape`."""
        done = [
            TextChoice(index, "".join(choice.texts), self._logprobs(choice.tokens), choice.finish, choice.stop)
            for index, choice in enumerate(choices)
        ]
        return self._answer(done, usage)

    def opening(self, _choice: int) -> bytes | None:
        """Completions have no opening chunk."""
        return None

    def chunk(self, delta: Delta) -> bytes:
        """See `Shape`."""
        logprobs = self._logprobs(delta.tokens) if delta.tokens else None
        unset = None if self._heading.stream_usage else UNSET
        choice = TextChoice(delta.choice, delta.text, logprobs, delta.finish, _stop_reason(delta))
        return self._answer([choice], unset)

    def usage(self, usage: Usage) -> bytes:
        """See `Shape`."""
        return self._answer([], usage)

    def _answer(self, choices: list[TextChoice], usage: Usage | UnsetType | None) -> bytes:
        heading = self._heading
        return self._encode(Answer(heading.id, "text_completion", heading.created, heading.model, choices, usage))

    def _logprobs(self, tokens: Sequence[Placed[TokenLogprob]]) -> TextLogprobs | None:
        if not self._heading.logprobs:
            return None
        logprobs = TextLogprobs([], [], [], [])
        for placed in tokens:
            described = placed.token
            value = max(described.logprob, _FLOOR)
            label = self._heading.label(described.token)
            logprobs.text_offset.append(placed.offset)
            logprobs.tokens.append(label)
            logprobs.token_logprobs.append(value)
            logprobs.top_logprobs.append({label: value, **self._alternatives(described)})
        return logprobs

    def _alternatives(self, described: TokenLogprob) -> dict[str, float]:
        found: dict[str, float] = {}
        for token, value in described.top:  # best first: of tokens that look alike the likelier one is named
            found.setdefault(self._heading.label(token), max(value, _FLOOR))
        return found


def _chat_finish(finish: Finish | None, *, calls: int) -> ChatFinish | None:
    """Calls end an answer where the limit does not."""
    return "tool_calls" if finish == "stop" and calls else finish


def _stop_reason(delta: Delta) -> str | UnsetType | None:
    """Said where the finish reason is, and nowhere else."""
    return UNSET if delta.finish is None else delta.stop
