"""Anthropic's Messages API as a backend speaks it: the answers, events and errors it sends back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from gateway.blocks import AnswerBlock, RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from gateway.messages import Choice, Completion, Delta, FunctionCall, ToolCall, ToolCallDelta, Usage, UsageQuality
from gateway.wire.anthropic_faults import read_fault, used_up_s
from gateway.wire.upstream import ErrorEvent, Fault

_Tokens = Annotated[int, Meta(ge=0, le=10**9)]

_FINISH = MappingProxyType(
    {
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }
)


class _Block(Struct):
    """A block of any kind: those that are not known are left out, as this API may add to them."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw | UnsetType = UNSET
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class _OutputDetails(Struct):
    thinking_tokens: _Tokens | None = None


class _CacheCreation(Struct):
    ephemeral_1h_input_tokens: _Tokens | None = None


class _Usage(Struct):
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    cache_creation_input_tokens: _Tokens | None = None
    cache_read_input_tokens: _Tokens | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(Struct):
    content: tuple[_Block, ...]
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Usage | None = None


class _Delta(Struct):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


class _Count(Struct):
    input_tokens: _Tokens


_message_decoder = msgspec.json.Decoder(_Message)
_event_decoder = msgspec.json.Decoder(_Event)
_object_decoder = msgspec.json.Decoder(dict[str, Any])
_count_decoder = msgspec.json.Decoder(_Count)


class AnthropicApi:
    """See `upstream.UpstreamApi`."""

    def completion(self, raw: bytes) -> Completion:
        """A whole answer."""
        message = _message_decoder.decode(raw)
        if message.stop_reason is None:
            raise ValueError("the answer has no stop_reason")
        return Completion(model=message.model, choices=(_choice(message),), usage=_counted(message.usage))

    def events(self) -> "AnthropicEvents":
        """A reader for one stream."""
        return AnthropicEvents()

    def fault(self, status: int, raw: bytes) -> Fault:
        """What an error status with this body means."""
        return read_fault(status, raw)

    def pause_s(self, headers: Mapping[str, str], now: datetime | None = None) -> float:
        """Until the last of those limits is renewed of which nothing remains."""
        return used_up_s(headers, now or datetime.now(UTC))


def decode_count(raw: bytes) -> int:
    """The tokens of a prompt. Raises msgspec.DecodeError (or a subclass)."""
    return _count_decoder.decode(raw).input_tokens


class AnthropicEvents:
    """See `upstream.EventReader`."""

    def __init__(self) -> None:
        self.model = ""
        self.usage = Usage()
        self.done = False
        self.finished = False
        self._counts = _Usage()
        self._calls: dict[int, int] = {}
        self._silent: set[int] = set()

    def take(self, data: bytes, into: list[Delta]) -> None:
        """Read one event. Kinds that are not known are left out, as this API may add to them."""
        event = _event_decoder.decode(data)
        match event:
            case _Event(type="content_block_delta", delta=_Delta() as delta):
                into.append(self._piece(event.index, delta))
            case _Event(type="content_block_start", content_block=_Block() as block):
                into += self._start(event.index, block)
            case _Event(type="content_block_stop"):
                into += self._stop(event.index)
            case _:
                into += self._of_the_message(event)

    def _of_the_message(self, event: _Event) -> list[Delta]:
        match event:
            case _Event(type="message_start", message=_Message() as message):
                self.model = message.model
                self._count(message.usage)
            case _Event(type="message_delta", delta=_Delta() as delta):
                self._count(event.usage, final=True)
                if delta.stop_reason is not None:
                    self.finished = True
                    finish = _FINISH.get(delta.stop_reason, "stop")
                    return [Delta(finish_reason=finish, stop_sequence=delta.stop_sequence)]
            case _Event(type="message_stop"):
                self.done = True
            case _Event(type="error"):
                raise ErrorEvent
        return []

    def _start(self, index: int, block: _Block) -> list[Delta]:
        match block.type:
            case "tool_use":
                self._calls[index] = number = len(self._calls)
                given = _arguments(block.input)
                if given == "{}":
                    self._silent.add(index)
                    given = ""
                call = ToolCallDelta(number, block.id, block.name, given)
                return [Delta(tool_calls=(call,), block=index)]
            case "redacted_thinking":
                return [Delta(redacted=block.data or "", block=index)]
            case "text" if block.text:
                return [Delta(text=block.text, block=index)]
            case "thinking" if block.thinking:
                return [Delta(reasoning=block.thinking, block=index)]
        return []

    def _piece(self, index: int, delta: _Delta) -> Delta:
        if delta.partial_json is not None and index in self._calls:
            if delta.partial_json:
                self._silent.discard(index)
            return Delta(tool_calls=(ToolCallDelta(self._calls[index], arguments=delta.partial_json),), block=index)
        return Delta(text=delta.text, reasoning=delta.thinking, signature=delta.signature, block=index)

    def _stop(self, index: int) -> list[Delta]:
        """A call without arguments has empty ones, and everybody else's API writes them down."""
        if index not in self._silent:
            return []
        self._silent.discard(index)
        return [Delta(tool_calls=(ToolCallDelta(self._calls[index], arguments="{}"),), block=index)]

    def _count(self, found: _Usage | None, *, final: bool = False) -> None:
        """Later counts are of everything so far; those that are left out stay as they were."""
        if found is None:
            return
        known = {name: value for name in _Usage.__struct_fields__ if (value := getattr(found, name)) is not None}
        self._counts = msgspec.structs.replace(self._counts, **known)
        self.usage = _counted(self._counts)
        if not final:
            # What is known before the answer is its prompt: no count of the call.
            self.usage = msgspec.structs.replace(self.usage, quality=UsageQuality.UNKNOWN)


def _choice(message: _Message) -> Choice:
    blocks = tuple(block for each in message.content if (block := _block(each)) is not None)
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    thoughts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock) and block.thinking]
    return Choice(
        text="".join(texts) if texts else None,
        reasoning="\n".join(thoughts) or None,
        tool_calls=tuple(
            ToolCall(each.id or "", FunctionCall(each.name or "", _arguments(each.input)))
            for each in message.content
            if each.type == "tool_use"
        ),
        finish_reason=_FINISH.get(message.stop_reason or "", "stop"),
        stop_sequence=message.stop_sequence,
        blocks=blocks,
    )


def _block(found: _Block) -> AnswerBlock | None:
    match found.type:
        case "text":
            return TextBlock(found.text or "")
        case "thinking":
            return ThinkingBlock(found.thinking or "", found.signature or "")
        case "redacted_thinking":
            return RedactedThinkingBlock(found.data or "")
        case "tool_use":
            return ToolUseBlock(found.id or "", found.name or "", _object_decoder.decode(_arguments(found.input)))
    return None


def _arguments(given: Raw | UnsetType) -> str:
    return "{}" if isinstance(given, UnsetType) else bytes(given).decode()


def _counted(found: _Usage | None) -> Usage:
    """Counted tokens; `prompt` is all of them, those read from the cache and put into it included."""
    if found is None:
        return Usage()
    read, written = found.cache_read_input_tokens or 0, found.cache_creation_input_tokens or 0
    return Usage(
        prompt=(found.input_tokens or 0) + read + written,
        completion=found.output_tokens or 0,
        cached=read,
        cache_written=written,
        reasoning=(found.output_tokens_details and found.output_tokens_details.thinking_tokens) or 0,
        quality=UsageQuality.EXACT,
    )
