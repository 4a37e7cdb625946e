"""OpenAI's text completions as a caller sees them: answers, stream chunks, and the `forebay` object on them.

Also where a chat was asked: a refusal is the text then, for this API has no other place for it.
"""

from collections import defaultdict
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.messages import Completion, Delta, TokenLogprob, Usage
from gateway.outcome import Forebay
from gateway.wire.openai_answer import UsageBody, usage_body
from gateway.wire.sse import DONE, encode_event


class _Logprobs(Struct):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class _Choice(Struct):
    text: str
    index: int
    logprobs: _Logprobs | None
    finish_reason: str | None


class _Answer(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: tuple[_Choice, ...]
    usage: UsageBody | UnsetType = UNSET
    system_fingerprint: str | UnsetType | None = UNSET
    forebay: Forebay | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_DONE_EVENT = encode_event(DONE)


class TextEncoder:
    """Writes one answer, whole or in chunks. `top_logprobs` is what the caller wants to see, None nothing."""

    def __init__(
        self, request_id: str, created: int, model: str, top_logprobs: int | None, *, include_usage: bool = False
    ) -> None:
        self._id = f"cmpl-{request_id}"
        self._created = created
        self._model = model
        self._top = top_logprobs
        self._include_usage = include_usage
        self._offsets: dict[int, int] = defaultdict(int)

    def whole(self, completion: Completion, usage: Usage, forebay: Forebay) -> bytes:
        """A body of object text_completion."""
        choices = tuple(
            _Choice(
                choice.text or choice.refusal or "",
                choice.index,
                self._logprobs(choice.index, choice.logprobs),
                choice.finish_reason,
            )
            for choice in completion.choices
        )
        return self._answer(choices, usage_body(usage), completion.fingerprint, forebay)

    def opening(self, _usage: Usage) -> bytes:
        """Nothing comes before the text."""
        return b""

    def piece(self, delta: Delta) -> bytes:
        """One event for one piece of text; what a model thought before it has no place in this API."""
        text = delta.text or delta.refusal or ""
        if not text and (self._top is None or not delta.logprobs):
            return b""
        return self._event(_Choice(text, delta.index, self._logprobs(delta.index, delta.logprobs), None))

    def ending(self, finish: Sequence[Delta], usage: Usage, forebay: Forebay) -> bytes:
        """Finish reasons, the last of them with what happened to the request, usage if asked for, and [DONE]."""
        *others, last = [_Choice("", each.index, None, each.finish_reason) for each in finish]
        events = [self._event(choice) for choice in others]
        events.append(self._event(last, forebay))
        if self._include_usage:
            events.append(encode_event(self._answer((), usage_body(usage))))
        events.append(_DONE_EVENT)
        return b"".join(events)

    def _event(self, choice: _Choice, forebay: Forebay | UnsetType = UNSET) -> bytes:
        return encode_event(self._answer((choice,), forebay=forebay))

    def _answer(
        self,
        choices: tuple[_Choice, ...],
        usage: UsageBody | UnsetType = UNSET,
        fingerprint: str | UnsetType | None = UNSET,
        forebay: Forebay | UnsetType = UNSET,
    ) -> bytes:
        return _encode(
            _Answer(self._id, "text_completion", self._created, self._model, choices, usage, fingerprint, forebay)
        )

    def _logprobs(self, index: int, tokens: Sequence[TokenLogprob] | None) -> _Logprobs | None:
        """Four lists, of which the last says where in the text each token begins."""
        if self._top is None or tokens is None:
            return None
        found = _Logprobs([], [], [], [])
        for token in tokens:
            found.tokens.append(token.token)
            found.token_logprobs.append(token.logprob)
            best = {each.token: each.logprob for each in reversed(token.top_logprobs[: self._top])}
            found.top_logprobs.append(dict(reversed(best.items())))
            found.text_offset.append(self._offsets[index])
            self._offsets[index] += len(token.token)
        return found
