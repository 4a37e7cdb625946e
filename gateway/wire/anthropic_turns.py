"""OpenAI's turns and tools in the words of Anthropic's API, for backends that speak it."""

import re
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from gateway.blocks import (
    Base64Source,
    Block,
    Conversation,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolParam,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    UrlSource,
)
from gateway.messages import ChatRequest, ImagePart, ImageUrl, Message, Part, RefusalPart, TextPart, Tool, ToolCall

_DATA_URL = re.compile(r"data:(image/(?:jpeg|png|gif|webp));base64,([A-Za-z0-9+/=\s]*)")
_ODD_IN_ID = re.compile(r"[^A-Za-z0-9_-]")
_EFFORTS = MappingProxyType(
    {
        "none": "low",
        "minimal": "low",
        "low": "low",
        "medium": "medium",
        "high": "high",
        "xhigh": "xhigh",
        "max": "max",
    }
)
_SYSTEM = ("system", "developer")


def conversation(request: ChatRequest) -> Conversation:
    """The whole of a request that came in OpenAI's words. Raises ValueError for an image that cannot be said."""
    system = [message for message in request.messages if message.role in _SYSTEM]
    return Conversation(
        messages=tuple(_merged(request.messages)),
        system=tuple(TextBlock(message.text()) for message in system if message.text()) or None,
        tools=tuple(_tool(tool) for tool in request.tools),
        effort=None if request.reasoning_effort is None else _EFFORTS.get(request.reasoning_effort),
    )


def presentable(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Turns that came in Anthropic's words, without what another backend has put into them and that API refuses.

    A thought without a signature was never its own; ids of others may hold characters that it does not take.
    """
    shown = (turn if isinstance(turn.content, str) else Turn(turn.role, tuple(_shown(turn.content))) for turn in turns)
    return tuple(turn for turn in shown if turn.content)


def untold(request: ChatRequest) -> Iterator[str]:
    """What was asked in OpenAI's words and has none in Anthropic's, or another value there."""
    sampling = request.sampling
    for name in ("seed", "presence_penalty", "frequency_penalty", "logit_bias"):
        if getattr(sampling, name) is not None:
            yield name
    if sampling.temperature is not None and sampling.temperature > 1:
        yield "temperature"
    if request.conversation is None:
        if any(message.name is not None for message in request.messages):
            yield "messages[].name"
        if request.reasoning_effort is not None and _EFFORTS.get(request.reasoning_effort) is None:
            yield "reasoning_effort"


def arguments_object(text: str) -> dict[str, Any]:
    """The arguments of a call as an object. Text that is none is kept under the name that API has for it."""
    try:
        found = msgspec.json.decode(text or "{}")
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"INVALID_JSON": text}


def _merged(messages: Iterable[Message]) -> Iterator[Turn]:
    """Turns of the same side become one: results of several calls must stand in one turn.

    What is said elsewhere is left out, and empty turns, which that API refuses.
    """
    side: Literal["user", "assistant"] = "user"
    gathered: list[Block] = []
    for message in messages:
        blocks = [] if message.role in _SYSTEM else _blocks_of(message)
        now: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
        if blocks and gathered and now != side:
            yield Turn(side, tuple(gathered))
            gathered = []
        if blocks:
            side = now
            gathered += blocks
    if gathered:
        yield Turn(side, tuple(gathered))


def _blocks_of(message: Message) -> list[Block]:
    if message.role == "tool":
        return [ToolResultBlock(_id(message.tool_call_id or ""), _result(message))]
    blocks: list[Block] = [*_blocks(message.content)]
    if message.refusal:
        blocks.append(TextBlock(message.refusal))
    return [*blocks, *(_call(call) for call in message.tool_calls or ())]


def _result(message: Message) -> str | tuple[TextBlock | ImageBlock, ...] | None:
    if message.content is None or isinstance(message.content, str):
        return message.content
    return tuple(_blocks(message.content))


def _blocks(content: str | tuple[Part, ...] | None) -> list[TextBlock | ImageBlock]:
    parts = (TextPart(content),) if isinstance(content, str) else content or ()
    return [block for part in parts if (block := _block(part)) is not None]


def _block(part: Part) -> TextBlock | ImageBlock | None:
    if isinstance(part, ImagePart):
        return ImageBlock(_source(part.image_url))
    text = part.refusal if isinstance(part, RefusalPart) else part.text
    return TextBlock(text) if text else None


def _source(image: ImageUrl) -> Base64Source | UrlSource:
    if not image.url.startswith("data:"):
        return UrlSource(image.url)
    found = _DATA_URL.fullmatch(image.url)
    if found is None:
        raise ValueError("an image must be JPEG, PNG, GIF or WebP, in base64")
    kind: Any = found[1]
    return Base64Source(kind, found[2])


def _call(call: ToolCall) -> ToolUseBlock:
    return ToolUseBlock(_id(call.id), call.function.name, arguments_object(call.function.arguments))


def _tool(tool: Tool) -> ToolParam:
    function = tool.function
    schema = {"type": "object", "properties": {}, **(function.parameters or {})}
    return ToolParam(function.name, schema, function.description, strict=function.strict or None)


def _shown(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        match block:
            case ThinkingBlock(signature="") | TextBlock(text=""):
                continue
            case ToolUseBlock(id=found):
                yield block if not _ODD_IN_ID.search(found) else msgspec.structs.replace(block, id=_id(found))
            case ToolResultBlock(tool_use_id=found):
                named = (
                    block if not _ODD_IN_ID.search(found) else msgspec.structs.replace(block, tool_use_id=_id(found))
                )
                yield named
            case _:
                yield block


def _id(text: str) -> str:
    return _ODD_IN_ID.sub("_", text)
