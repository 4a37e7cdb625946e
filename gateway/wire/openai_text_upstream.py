"""OpenAI's text completions as a backend speaks them: the body it is sent, its answers behind `upstream.UpstreamApi`.

They differ from chats in their choices: a text instead of a message, and log-probabilities in four lists.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.messages import ChatRequest, Choice, Completion, Delta, JsonObject, TokenLogprob, TopLogprob
from gateway.wire.openai_api import OpenAIApi, OpenAIEvents
from gateway.wire.openai_upstream import GIVEN_UP, FoundUsage, stop_string, usage


class _Logprobs(Struct):
    tokens: tuple[str, ...] = ()
    token_logprobs: tuple[float | None, ...] = ()
    top_logprobs: tuple[Mapping[str, float | None] | None, ...] | None = None


class _Choice(Struct):
    text: str = ""
    index: int = 0
    finish_reason: str | None = None
    stop_reason: Any = None
    logprobs: _Logprobs | None = None


class _Answer(Struct):
    choices: tuple[_Choice, ...] = ()
    model: str = ""
    usage: FoundUsage | None = None
    system_fingerprint: str | None = None
    error: Any = None

    def deltas(self) -> list[Delta]:
        """The pieces, where it is an event of a stream."""
        return [
            Delta(
                index=choice.index,
                text=choice.text or None,
                finish_reason=choice.finish_reason,
                stop_sequence=stop_string(choice.stop_reason),
                logprobs=_tokens(choice.logprobs),
            )
            for choice in self.choices
        ]


_decode = msgspec.json.Decoder(_Answer).decode


def text_body(request: ChatRequest, model: str, *, stream: bool, logprobs: int | None) -> JsonObject:
    """The body for one attempt; `logprobs` None asks for none. A stream always asks for its usage."""
    body: JsonObject = {"model": model, "prompt": request.prompt}
    body.update(msgspec.to_builtins(request.sampling))
    if request.user is not None:
        body["user"] = request.user
    if logprobs is not None:
        body["logprobs"] = logprobs
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


class TextApi(OpenAIApi):
    """See `upstream.UpstreamApi`."""

    def completion(self, raw: bytes) -> Completion:
        """A whole answer."""
        answer = _decode(raw)
        if not answer.choices:
            raise ValueError("the answer has no choices")
        return Completion(
            model=answer.model,
            choices=tuple(_choice(choice) for choice in answer.choices),
            usage=usage(answer.usage),
            fingerprint=answer.system_fingerprint,
        )

    def events(self) -> OpenAIEvents:
        """A reader for one stream."""
        return OpenAIEvents(_decode)


def _choice(choice: _Choice) -> Choice:
    if choice.finish_reason is None or choice.finish_reason in GIVEN_UP:
        raise ValueError("a choice was not finished")
    return Choice(
        index=choice.index,
        text=choice.text,
        finish_reason=choice.finish_reason,
        stop_sequence=stop_string(choice.stop_reason),
        logprobs=_tokens(choice.logprobs),
    )


def _tokens(found: _Logprobs | None) -> tuple[TokenLogprob, ...] | None:
    """One entry per token; a token whose probability nobody says is left out, and so is what stands beside none."""
    if found is None:
        return None
    tops = found.top_logprobs or ()
    return tuple(
        TokenLogprob(token, logprob, top_logprobs=_best_first(tops[place] if place < len(tops) else None))
        for place, (token, logprob) in enumerate(zip(found.tokens, found.token_logprobs, strict=False))
        if logprob is not None
    )


def _best_first(top: Mapping[str, float | None] | None) -> tuple[TopLogprob, ...]:
    known = [(token, logprob) for token, logprob in (top or {}).items() if logprob is not None]
    return tuple(TopLogprob(token, logprob) for token, logprob in sorted(known, key=lambda each: -each[1]))
