"""OpenAI's chat request: read from a caller, written to a backend.

A body is decoded once into plain objects, so that its field names can be looked at, and then converted into
types; what has no place in the types is dropped and named, and what is unsafe is refused.
"""

import time
from typing import Annotated, Any

from msgspec import Meta, Struct

from gateway.errors import RequestError
from gateway.messages import (
    ChatRequest,
    JsonSchema,
    Message,
    NamedToolChoice,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)
from gateway.wire.fields import refuse_unsafe, told, unknown_fields
from gateway.wire.hints import Short, read_hints
from gateway.wire.json_schema import check_schema
from gateway.wire.validation import convert, read_object

Penalty = Annotated[float, Meta(ge=-2, le=2)]
MaxTokens = Annotated[int, Meta(ge=1, le=10_000_000)]
StopString = Annotated[str, Meta(min_length=1, max_length=256)]
TokenId = Annotated[str, Meta(pattern=r"^[0-9]{1,7}$")]


class _StreamOptions(Struct):
    include_usage: bool | None = None


class ChatBody(Struct):
    """The body of POST /v1/chat/completions, field by field."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[tuple[Message, ...], Meta(min_length=1, max_length=10_000)]
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=16)] | None = None
    stop: StopString | Annotated[tuple[StopString, ...], Meta(max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[Annotated[str, Meta(pattern=r"^[0-9]{1,7}$")], Annotated[float, Meta(ge=-100, le=100)]] | None = (
        None
    )
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[tuple[Tool, ...], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Annotated[str, Meta(pattern=r"^[a-z]{1,16}$")] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    user: Short | None = None
    metadata: dict[str, Any] | None = None


_BODY_FIELDS = frozenset(ChatBody.__struct_fields__)
_MESSAGE_FIELDS = frozenset(Message.__struct_fields__)
_SCHEMA = "response_format.json_schema.schema"


def parse_chat(raw: bytes, header_hints: dict[str, str], request_id: str) -> ChatRequest:
    """Read a body of POST /v1/chat/completions. `header_hints` are x-forebay-* headers without their prefix.

    Raises RequestError with `param` naming the field at fault.
    """
    fields = read_object(raw, ChatBody)
    refuse_unsafe(fields)
    body = convert(fields, ChatBody)
    hints, ignored = read_hints(body.metadata or {}, header_hints)
    if fields.keys() - _BODY_FIELDS:
        ignored += unknown_fields(fields, _BODY_FIELDS)
    for message in fields["messages"]:
        if message.keys() - _MESSAGE_FIELDS:
            ignored += unknown_fields(message, _MESSAGE_FIELDS, "messages[].")
    _check_consistency(body)
    return ChatRequest(
        id=request_id,
        created=int(time.time()),
        requested_model=body.model,
        messages=body.messages,
        sampling=_sampling(body),
        tools=body.tools or (),
        tool_choice=body.tool_choice,
        parallel_tool_calls=body.parallel_tool_calls,
        response_format=body.response_format,
        reasoning_effort=body.reasoning_effort,
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        user=body.user,
        hints=hints,
        ignored=told(ignored) if ignored else (),
    )


def _sampling(body: ChatBody) -> Sampling:
    stop = (body.stop,) if isinstance(body.stop, str) else body.stop or ()
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        n=body.n or 1,
        stop=stop,
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=body.logit_bias,
    )


def _check_consistency(body: ChatBody) -> None:
    """Rules that span fields."""
    if body.top_logprobs and not body.logprobs:
        raise RequestError("top_logprobs needs logprobs: true", param="top_logprobs")
    match body.response_format:
        case ResponseFormat(type="json_schema", json_schema=None | JsonSchema(schema=None)):
            raise RequestError("json_schema.schema is required", param=_SCHEMA)
        case ResponseFormat(json_schema=JsonSchema(schema=dict() as schema)):
            check_schema(schema, _SCHEMA)
    for position, tool in enumerate(body.tools or ()):
        if tool.function.parameters is not None:
            check_schema(tool.function.parameters, f"tools[{position}].function.parameters")
    for position, message in enumerate(body.messages):
        _check_message(message, position)
    _check_tool_choice(body)


def _check_message(message: Message, position: int) -> None:
    if message.role == "tool" and message.tool_call_id is None:
        raise RequestError("a message of role tool needs tool_call_id", param=f"messages[{position}].tool_call_id")
    if message.content is None and message.role not in ("assistant", "tool"):
        raise RequestError(f"a message of role {message.role} needs content", param=f"messages[{position}].content")


def _check_tool_choice(body: ChatBody) -> None:
    tools = body.tools or ()
    if isinstance(body.tool_choice, NamedToolChoice):
        name = body.tool_choice.function.name
        if all(tool.function.name != name for tool in tools):
            raise RequestError(f"tool_choice names {name[:64]!r}, which is not among tools", param="tool_choice")
    elif body.tool_choice == "required" and not tools:
        raise RequestError("tool_choice: required needs tools", param="tool_choice")
