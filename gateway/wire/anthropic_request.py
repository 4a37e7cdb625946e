"""Anthropic's message request: read from a caller, kept as it came, and translated for everybody else.

A body is decoded once into plain objects, so that its field names can be looked at, and then converted into
types; what has no place in the types is dropped and named, and what is unsafe is refused.
"""

import time
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, structs

from gateway.blocks import CacheControl, Conversation, TextBlock, Thinking, ToolParam, Turn
from gateway.messages import (
    ChatRequest,
    JsonObject,
    JsonSchema,
    NamedFunction,
    NamedToolChoice,
    ResponseFormat,
    Sampling,
    ToolChoice,
)
from gateway.wire.anthropic_answer import STATUSES
from gateway.wire.anthropic_checks import check_thinking, check_tools, check_turns, dropped, not_taken
from gateway.wire.anthropic_messages import openai_effort, openai_messages, openai_tools
from gateway.wire.fields import refuse_unsafe, told, unknown_fields
from gateway.wire.hints import Short, read_hints
from gateway.wire.json_schema import check_schema
from gateway.wire.validation import convert, read_object

MaxTokens = Annotated[int, Meta(ge=1, le=10_000_000)]
StopString = Annotated[str, Meta(min_length=1, max_length=256)]


class AutoToolChoice(Struct, tag_field="type", tag="auto"):
    """The model decides."""

    disable_parallel_tool_use: bool | None = None


class AnyToolChoice(Struct, tag_field="type", tag="any"):
    """Some tool must be called."""

    disable_parallel_tool_use: bool | None = None


class OneToolChoice(Struct, tag_field="type", tag="tool"):
    """This tool must be called."""

    name: str
    disable_parallel_tool_use: bool | None = None


class NoToolChoice(Struct, tag_field="type", tag="none"):
    """No tool is called."""


class OutputFormat(Struct, tag_field="type", tag="json_schema"):
    """A JSON Schema that the answer must satisfy."""

    schema: JsonObject


class OutputConfig(Struct):
    """How hard to work at the answer, and what form it must have."""

    effort: Annotated[str, Meta(pattern=r"^(low|medium|high|xhigh|max)$")] | None = None
    format: OutputFormat | None = None


class CountBody(Struct, kw_only=True):
    """The body of POST /v1/messages/count_tokens, field by field."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[tuple[Turn, ...], Meta(min_length=1, max_length=10_000)]
    system: str | tuple[TextBlock, ...] | None = None
    tools: Annotated[tuple[ToolParam, ...], Meta(max_length=128)] | None = None
    tool_choice: AutoToolChoice | AnyToolChoice | OneToolChoice | NoToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    metadata: dict[str, Any] | None = None


class MessageBody(CountBody, kw_only=True):
    """The body of POST /v1/messages, field by field."""

    max_tokens: MaxTokens
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    stop_sequences: Annotated[tuple[StopString, ...], Meta(max_length=4)] | None = None
    stream: bool | None = None


Body = TypeVar("Body", bound=CountBody)


class _UserId(Struct):
    user_id: Short | None = None


class _Metadata(Struct):
    metadata: _UserId


_MESSAGE_FIELDS = frozenset(MessageBody.__struct_fields__)


def parse_message(raw: bytes, header_hints: dict[str, str], request_id: str) -> ChatRequest:
    """Read a body of POST /v1/messages. `header_hints` are x-forebay-* headers without their prefix.

    Raises RequestError with `param` naming the field at fault.
    """
    fields = read_object(raw, MessageBody)
    body = _read(fields, MessageBody)
    check_thinking(body.thinking, body.max_tokens)
    sampling = Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k or None,
        max_tokens=body.max_tokens,
        stop=body.stop_sequences or (),
    )
    request = _request(fields, body, header_hints, request_id, known=_MESSAGE_FIELDS)
    return structs.replace(request, sampling=sampling, stream=bool(body.stream))


def parse_count(raw: bytes, header_hints: dict[str, str], request_id: str) -> ChatRequest:
    """Read a body of POST /v1/messages/count_tokens, as `parse_message` does."""
    fields = read_object(raw, CountBody)
    body = _read(fields, CountBody)
    check_thinking(body.thinking, None)
    # A client may send the whole request that it is about to make.
    return _request(fields, body, header_hints, request_id, known=_MESSAGE_FIELDS)


def _read(fields: JsonObject, shape: type[Body]) -> Body:
    refuse_unsafe(fields)
    not_taken(fields)
    body = convert(fields, shape)
    check_turns(body.messages)
    choice = body.tool_choice
    wanted = choice.name if isinstance(choice, OneToolChoice) else None
    check_tools(body.tools or (), wanted, forced=isinstance(choice, AnyToolChoice))
    if body.output_config is not None and body.output_config.format is not None:
        check_schema(body.output_config.format.schema, "output_config.format.schema")
    return body


def _request(
    fields: JsonObject, body: CountBody, header_hints: dict[str, str], request_id: str, *, known: frozenset[str]
) -> ChatRequest:
    metadata = dict(body.metadata or {})
    user = convert({"metadata": {"user_id": metadata.pop("user_id", None)}}, _Metadata).metadata.user_id
    hints, ignored_hints = read_hints(metadata, header_hints)
    config = body.output_config or OutputConfig()
    talk = Conversation(
        messages=body.messages,
        system=body.system or None,
        tools=body.tools or (),
        thinking=body.thinking,
        effort=config.effort,
        cache_control=body.cache_control,
    )
    return ChatRequest(
        id=request_id,
        created=int(time.time()),
        requested_model=body.model,
        messages=openai_messages(talk),
        tools=openai_tools(talk),
        tool_choice=_tool_choice(body),
        parallel_tool_calls=False if getattr(body.tool_choice, "disable_parallel_tool_use", None) else None,
        response_format=_response_format(config),
        reasoning_effort=openai_effort(talk),
        user=user,
        hints=hints,
        ignored=told([*unknown_fields(fields, known), *ignored_hints, *dropped(fields)]),
        conversation=talk,
        statuses=STATUSES,
    )


def _tool_choice(body: CountBody) -> ToolChoice | None:
    match body.tool_choice:
        case AutoToolChoice():
            return "auto"
        case AnyToolChoice():
            return "required"
        case OneToolChoice(name=name):
            return NamedToolChoice(NamedFunction(name))
        case NoToolChoice():
            return "none"
    return None


def _response_format(config: OutputConfig) -> ResponseFormat | None:
    if config.format is None:
        return None
    return ResponseFormat("json_schema", JsonSchema("answer", config.format.schema))
