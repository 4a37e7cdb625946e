"""Anthropic's Messages API as a caller sees it: messages, stream events, errors, and the `forebay` object on them."""

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.blocks import AnswerBlock, TextBlock, ThinkingBlock, ToolUseBlock
from gateway.errors import AnswerError, Code
from gateway.messages import Choice, Completion, Delta, ToolCallDelta, Usage
from gateway.outcome import Forebay
from gateway.wire.anthropic_turns import arguments_object
from gateway.wire.sse import encode_named_event

STATUSES = MappingProxyType({Code.NO_CAPACITY: 529})
"""Where this API has a status of its own: 529 is its word for too many requests from everybody together."""

_STOP_REASONS = MappingProxyType(
    {
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "function_call": "tool_use",
        "content_filter": "refusal",
    }
)
_ERROR_TYPES = MappingProxyType(
    {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)
# A field of OpenAI's API that is at fault is another one here.
_PARAMS = MappingProxyType({"response_format": "output_config.format"})
_INDEX = re.compile(r"\[(\d+)\]")


class _OutputDetails(Struct):
    thinking_tokens: int


class _Usage(Struct):
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: _OutputDetails


class _Message(Struct):
    id: str
    type: str
    role: str
    model: str
    content: Sequence[AnswerBlock]
    stop_reason: str | None
    stop_sequence: str | None
    usage: _Usage
    forebay: Forebay | UnsetType = UNSET


class _MessageStart(Struct, tag_field="type", tag="message_start"):
    message: _Message


class _BlockStart(Struct, tag_field="type", tag="content_block_start"):
    index: int
    content_block: dict[str, Any]


class _BlockDelta(Struct, tag_field="type", tag="content_block_delta"):
    index: int
    delta: "_TextDelta | _ThinkingDelta | _SignatureDelta | _InputDelta"


class _BlockStop(Struct, tag_field="type", tag="content_block_stop"):
    index: int


class _TextDelta(Struct, tag_field="type", tag="text_delta"):
    text: str


class _ThinkingDelta(Struct, tag_field="type", tag="thinking_delta"):
    thinking: str


class _SignatureDelta(Struct, tag_field="type", tag="signature_delta"):
    signature: str


class _InputDelta(Struct, tag_field="type", tag="input_json_delta"):
    partial_json: str


class _Stop(Struct):
    stop_reason: str
    stop_sequence: str | None


class _MessageDelta(Struct, tag_field="type", tag="message_delta"):
    delta: _Stop
    usage: _Usage
    forebay: Forebay


class _MessageStop(Struct, tag_field="type", tag="message_stop"):
    pass


class _ErrorDetails(Struct, omit_defaults=True):
    error_code: str
    param: str | None = None


class _ErrorBody(Struct):
    type: str
    message: str
    details: _ErrorDetails


class _Error(Struct, tag_field="type", tag="error"):
    error: _ErrorBody
    request_id: str


_Event = _MessageStart | _BlockStart | _BlockDelta | _BlockStop | _MessageDelta | _MessageStop
_encode = msgspec.json.Encoder().encode


class MessageWriter:
    """Writes one answer, whole or as events.

    Pieces of one kind in a row are one block. A backend that counts its blocks keeps its own bounds between them.
    """

    def __init__(self, request_id: str, model: str) -> None:
        self._id = f"msg_{request_id}"
        self._model = model
        self._open: tuple[str, int | None] | None = None
        self._index = -1
        self._calls: dict[int, int] = {}
        self._refused = False

    def whole(self, completion: Completion, usage: Usage, forebay: Forebay) -> bytes:
        """A body of type message."""
        choice = completion.choices[0]
        stop = _stop(choice.finish_reason, choice.stop_sequence, called=bool(choice.tool_calls))
        if choice.refusal:
            stop = _Stop("refusal", None)
        return _encode(self._message(choice.blocks or _blocks(choice), stop, usage, forebay))

    def opening(self, usage: Usage) -> bytes:
        """The event message_start."""
        return _event(_MessageStart(self._message((), None, usage, UNSET)))

    def piece(self, delta: Delta) -> bytes:
        """The events of one piece."""
        events: list[bytes] = []
        if delta.reasoning:
            self._say(events, ("thinking", delta.block), _ThinkingDelta(delta.reasoning))
        if delta.signature:
            self._say(events, ("thinking", delta.block), _SignatureDelta(delta.signature))
        if delta.redacted:
            self._start(events, ("redacted", delta.block), {"type": "redacted_thinking", "data": delta.redacted})
        if delta.text:
            self._say(events, ("text", delta.block), _TextDelta(delta.text))
        if delta.refusal:
            self._refused = True
            self._say(events, ("text", delta.block), _TextDelta(delta.refusal))
        for call in delta.tool_calls:
            self._call(events, call)
        return b"".join(events)

    def ending(self, finish: Sequence[Delta], usage: Usage, forebay: Forebay) -> bytes:
        """The end of the last block, the stop reason with what happened to the request, and message_stop."""
        events: list[bytes] = []
        self._stop_block(events)
        last = finish[-1]
        stop = _stop(last.finish_reason, last.stop_sequence, called=bool(self._calls))
        if self._refused:
            stop = _Stop("refusal", None)
        events += [_event(_MessageDelta(stop, _usage(usage), forebay)), _event(_MessageStop())]
        return b"".join(events)

    def _say(
        self, events: list[bytes], place: tuple[str, int | None], delta: _TextDelta | _ThinkingDelta | _SignatureDelta
    ) -> None:
        if self._open != place:
            empty: dict[str, Any] = {"type": "text", "text": ""}
            if place[0] == "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
            self._start(events, place, empty)
        events.append(_event(_BlockDelta(self._index, delta)))

    def _call(self, events: list[bytes], call: ToolCallDelta) -> None:
        if call.index not in self._calls:
            name = call.id or f"toolu_{self._id.removeprefix('msg_')}_{call.index}"
            block = {"type": "tool_use", "id": name, "name": call.name or "", "input": {}}
            self._start(events, ("tool", call.index), block)
            self._calls[call.index] = self._index
        if call.arguments:
            events.append(_event(_BlockDelta(self._calls[call.index], _InputDelta(call.arguments))))

    def _start(self, events: list[bytes], place: tuple[str, int | None], block: dict[str, Any]) -> None:
        self._stop_block(events)
        self._open = place
        self._index += 1
        events.append(_event(_BlockStart(self._index, block)))

    def _stop_block(self, events: list[bytes]) -> None:
        if self._open is not None:
            events.append(_event(_BlockStop(self._index)))
            self._open = None

    def _message(
        self, content: Sequence[AnswerBlock], stop: _Stop | None, usage: Usage, forebay: Forebay | UnsetType
    ) -> _Message:
        return _Message(
            id=self._id,
            type="message",
            role="assistant",
            model=self._model,
            content=content,
            stop_reason=None if stop is None else stop.stop_reason,
            stop_sequence=None if stop is None else stop.stop_sequence,
            usage=_usage(usage),
            forebay=forebay,
        )


def error_body(error: AnswerError, request_id: str) -> bytes:
    """The JSON body of an error. Its message begins with the field at fault, and its code is among the details."""
    param = None if error.param is None else _INDEX.sub(r".\1", _PARAMS.get(error.param) or error.param)
    message = error.message.removeprefix(f"{error.param}: ")
    kind = _ERROR_TYPES.get(error_status(error), "invalid_request_error" if error.status < 500 else "api_error")
    named = message if param is None or message.startswith(param) else f"{param}: {message}"
    return _encode(_Error(_ErrorBody(kind, named, _ErrorDetails(error.code, param)), request_id))


def error_event(error: AnswerError, request_id: str) -> bytes:
    """The event that ends a broken stream; nothing follows it."""
    return encode_named_event(b"error", error_body(error, request_id))


def error_status(error: AnswerError) -> int:
    """The HTTP status of an error in this API."""
    return STATUSES.get(error.code, error.status)


def _event(event: _Event) -> bytes:
    return encode_named_event(str(event.__struct_config__.tag).encode(), _encode(event))


def _stop(finish_reason: str | None, stop_sequence: str | None, *, called: bool) -> _Stop:
    """A forced call ends with "stop" in OpenAI's API, and an answer that calls tools is waited for in this one."""
    reason = _STOP_REASONS.get(finish_reason or "")
    if reason is not None:
        return _Stop(reason, None)
    if called:
        return _Stop("tool_use", None)
    return _Stop("end_turn", None) if stop_sequence is None else _Stop("stop_sequence", stop_sequence)


def _blocks(choice: Choice) -> list[AnswerBlock]:
    """An answer of another API. What it thought carries no signature: no provider vouches for it."""
    blocks: list[AnswerBlock] = [ThinkingBlock(choice.reasoning, "")] if choice.reasoning else []
    blocks += [TextBlock(text) for text in (choice.text, choice.refusal) if text]
    return blocks + [
        ToolUseBlock(call.id, call.function.name, arguments_object(call.function.arguments))
        for call in choice.tool_calls
    ]


def _usage(usage: Usage) -> _Usage:
    """`input_tokens` are those that were neither read from the provider's cache nor put into it."""
    return _Usage(
        input_tokens=max(0, usage.prompt - usage.cached - usage.cache_written),
        cache_creation_input_tokens=usage.cache_written,
        cache_read_input_tokens=usage.cached,
        output_tokens=usage.completion,
        output_tokens_details=_OutputDetails(usage.reasoning),
    )
