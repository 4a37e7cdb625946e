"""OpenAI's chat API as a backend speaks it: the body sent to it, the answers and events it sends back."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway.messages import (
    ChatRequest,
    Choice,
    Completion,
    Delta,
    JsonObject,
    Message,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageQuality,
)

# A count beyond this is no count; what passes still gives sums that fit the ledger's 64 bits at any price.
_Tokens = Annotated[int, Meta(ge=0, le=10**9)]
GIVEN_UP = frozenset({"abort", "error"})
"""Finish reasons by which vLLM says that it did not finish: it was told to end, or its core has failed."""


class _Logprobs(Struct, gc=False):
    content: tuple[TokenLogprob, ...] | None = None


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None


class _Choice(Struct):
    message: _Message
    index: int = 0
    finish_reason: str | None = None
    stop_reason: Any = None
    logprobs: _Logprobs | None = None


class _PromptDetails(Struct):
    cached_tokens: _Tokens | None = None


class _CompletionDetails(Struct):
    reasoning_tokens: _Tokens | None = None


class FoundUsage(Struct):
    """Tokens as a backend counts them."""

    prompt_tokens: _Tokens = 0
    completion_tokens: _Tokens = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Completion(Struct):
    choices: tuple[_Choice, ...]
    model: str = ""
    usage: FoundUsage | None = None
    system_fingerprint: str | None = None


class _FunctionDelta(Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCallDelta(Struct):
    index: int = 0
    id: str | None = None
    function: _FunctionDelta | None = None


class _Delta(Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[_ToolCallDelta, ...] | None = None


class _ChunkChoice(Struct, gc=False):
    delta: _Delta
    index: int = 0
    finish_reason: str | None = None
    stop_reason: Any = None
    logprobs: _Logprobs | None = None


class Chunk(Struct, gc=False):
    """One event of a stream: pieces of choices, usage, or an error that ends it."""

    choices: tuple[_ChunkChoice, ...] = ()
    model: str = ""
    usage: FoundUsage | None = None
    error: Any = None

    def deltas(self) -> list[Delta]:
        """The pieces, one per choice."""
        return [_delta(choice) for choice in self.choices]


class _ErrorBody(Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Error(Struct):
    error: _ErrorBody | str


_completion_decoder = msgspec.json.Decoder(_Completion)
_chunk_decoder = msgspec.json.Decoder(Chunk)
_error_decoder = msgspec.json.Decoder(_Error)


def request_body(request: ChatRequest, model: str, *, stream: bool, top_logprobs: int | None) -> JsonObject:
    """The body for one attempt: what the caller asked, plus what the gateway needs to see.

    `top_logprobs` None asks for no logprobs. A stream always asks for its usage.
    """
    body: JsonObject = {"model": model, "messages": request.messages}
    body.update(msgspec.to_builtins(request.sampling))
    for name in ("tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user"):
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.tools:
        body["tools"] = request.tools
    if top_logprobs is not None:
        body["logprobs"] = True
        body["top_logprobs"] = top_logprobs
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def developer_as_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The same turns for models whose templates know no developer role."""
    if all(message.role != "developer" for message in messages):
        return messages
    return tuple(
        msgspec.structs.replace(message, role="system") if message.role == "developer" else message
        for message in messages
    )


def decode_completion(raw: bytes) -> Completion:
    """A whole answer. Raises msgspec.DecodeError (or a subclass) or ValueError when it is none."""
    answer = _completion_decoder.decode(raw)
    if not answer.choices:
        raise ValueError("the answer has no choices")
    return Completion(
        model=answer.model,
        choices=tuple(_choice(choice) for choice in answer.choices),
        usage=usage(answer.usage),
        fingerprint=answer.system_fingerprint,
    )


def decode_chunk(raw: bytes) -> Chunk:
    """One event's data. Raises msgspec.DecodeError (or a subclass)."""
    return _chunk_decoder.decode(raw)


def decode_error(raw: bytes) -> tuple[str | None, str | None, str]:
    """`code`, `param` and message of an error body; a body that is no such JSON has none of them."""
    try:
        error = _error_decoder.decode(raw).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None, ""
    if isinstance(error, str):
        return None, None, error
    return None if error.code is None else str(error.code), error.param, error.message or ""


def usage(found: FoundUsage | None) -> Usage:
    """Counted tokens; none counted is unknown, which is not zero."""
    if found is None:
        return Usage()
    prompt, completion = found.prompt_tokens_details, found.completion_tokens_details
    return Usage(
        prompt=found.prompt_tokens,
        completion=found.completion_tokens,
        cached=(prompt and prompt.cached_tokens) or 0,
        reasoning=(completion and completion.reasoning_tokens) or 0,
        quality=UsageQuality.EXACT,
    )


def _choice(choice: _Choice) -> Choice:
    if choice.finish_reason is None or choice.finish_reason in GIVEN_UP:
        raise ValueError("a choice was not finished")
    message = choice.message
    return Choice(
        index=choice.index,
        text=message.content,
        refusal=message.refusal,
        reasoning=message.reasoning_content or message.reasoning,
        tool_calls=message.tool_calls or (),
        finish_reason=choice.finish_reason,
        stop_sequence=stop_string(choice.stop_reason),
        logprobs=choice.logprobs.content if choice.logprobs else None,
    )


def _delta(choice: _ChunkChoice) -> Delta:
    delta = choice.delta
    return Delta(
        index=choice.index,
        text=delta.content,
        refusal=delta.refusal,
        reasoning=delta.reasoning_content or delta.reasoning,
        tool_calls=tuple(_tool_call(call) for call in delta.tool_calls) if delta.tool_calls else (),
        finish_reason=choice.finish_reason,
        stop_sequence=None if choice.stop_reason is None else stop_string(choice.stop_reason),
        logprobs=choice.logprobs.content if choice.logprobs else None,
    )


def stop_string(reason: Any) -> str | None:
    """The stop string that ended an answer, as vLLM names it; a number there is a token, which no caller has named."""
    return reason if isinstance(reason, str) else None


def _tool_call(call: _ToolCallDelta) -> ToolCallDelta:
    function = call.function or _FunctionDelta()
    return ToolCallDelta(index=call.index, id=call.id, name=function.name, arguments=function.arguments)
