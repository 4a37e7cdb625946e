"""OpenAI's request for a text completion, read from a caller.

Whoever cannot go on with a raw prompt gets it as the turn of a user: `messages` holds it for them.
"""

import time
from typing import Annotated, Any

from msgspec import Meta, Struct

from gateway.errors import RequestError
from gateway.messages import ChatRequest, Message, Sampling
from gateway.wire.fields import refuse_unsafe, told, unknown_fields
from gateway.wire.hints import Short, read_hints
from gateway.wire.openai_request import MaxTokens, Penalty, StopString, TokenId
from gateway.wire.validation import convert, read_object

DEFAULT_MAX_TOKENS = 16
"""Of an answer whose length nobody named, as the API has it."""


class _StreamOptions(Struct):
    include_usage: bool | None = None


class TextBody(Struct):
    """The body of POST /v1/completions, field by field. The last three are known and refused."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    prompt: str | list[str | int | list[int]]
    max_tokens: MaxTokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=16)] | None = None
    stop: StopString | Annotated[tuple[StopString, ...], Meta(max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[TokenId, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    user: Short | None = None
    metadata: dict[str, Any] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None


_BODY_FIELDS = frozenset(TextBody.__struct_fields__)


def parse_text(raw: bytes, header_hints: dict[str, str], request_id: str) -> ChatRequest:
    """Read a body of POST /v1/completions. `header_hints` are x-forebay-* headers without their prefix.

    Raises RequestError with `param` naming the field at fault.
    """
    fields = read_object(raw, TextBody)
    refuse_unsafe(fields)
    body = convert(fields, TextBody)
    hints, ignored = read_hints(body.metadata or {}, header_hints)
    ignored += unknown_fields(fields, _BODY_FIELDS)
    _refuse_what_nobody_does(body)
    prompt = _prompt(body.prompt)
    return ChatRequest(
        id=request_id,
        created=int(time.time()),
        requested_model=body.model,
        messages=(Message("user", prompt),),
        prompt=prompt,
        sampling=_sampling(body),
        logprobs=body.logprobs is not None,
        top_logprobs=body.logprobs or 0,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        user=body.user,
        hints=hints,
        ignored=told(ignored),
    )


def _sampling(body: TextBody) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_tokens or DEFAULT_MAX_TOKENS,
        n=body.n or 1,
        stop=(body.stop,) if isinstance(body.stop, str) else body.stop or (),
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=body.logit_bias,
    )


def _prompt(given: str | list[str | int | list[int]]) -> str:
    """The one text. Raises RequestError for none, for several, and for tokens, which belong to one model."""
    parts = [given] if isinstance(given, str) else given
    if any(not isinstance(part, str) for part in parts):
        raise RequestError("a prompt in tokens is of one model only: send it as text", param="prompt")
    if len(parts) > 1:
        raise RequestError(
            f"prompt has {len(parts)} texts, each of which may go another way: send one request for each",
            param="prompt",
        )
    text = parts[0] if parts else ""
    if not isinstance(text, str) or not text:
        raise RequestError("prompt is empty", param="prompt")
    return text


def _refuse_what_nobody_does(body: TextBody) -> None:
    """A chat has none of these, and an answer without them would be another one than was asked for."""
    if body.echo:
        raise RequestError("echo is not supported: put the prompt before the answer yourself", param="echo")
    if body.suffix:
        raise RequestError("suffix is not supported: no text is filled in here", param="suffix")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise RequestError("best_of is not supported: ask for n answers and choose among them", param="best_of")
