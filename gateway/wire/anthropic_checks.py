"""What a message request may hold beside having the right types: which blocks where, which tools, which limits."""

import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gateway.blocks import (
    Base64Source,
    Block,
    CacheControl,
    ImageBlock,
    RedactedThinkingBlock,
    TextBlock,
    Thinking,
    ThinkingBlock,
    ToolParam,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    UrlSource,
)
from gateway.errors import Code, RequestError
from gateway.messages import JsonObject
from gateway.wire.fields import plain_name, unknown_fields
from gateway.wire.json_schema import check_schema

_MOST_RESULT_DEPTH = 1
_LEAST_BUDGET = 1024
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")

_KINDS = MappingProxyType(
    {
        "text": TextBlock,
        "image": ImageBlock,
        "tool_use": ToolUseBlock,
        "tool_result": ToolResultBlock,
        "thinking": ThinkingBlock,
        "redacted_thinking": RedactedThinkingBlock,
    }
)
_CACHE_FIELDS = frozenset((*CacheControl.__struct_fields__, "type"))
_BELONG = MappingProxyType(
    {
        "user": ("text", "image", "tool_result"),
        "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
        "system": ("text",),
    }
)
_ANSWERED_BY_TEXT = frozenset({"document", "search_result"})
_OF_SERVER_TOOLS = frozenset({"server_tool_use", "container_upload", "mcp_tool_use", "tool_reference"})

# Their meaning would be lost in silence, or matter too much to be lost.
_REFUSED = {
    "container": "is of tools that the provider runs; only tools of your own are taken",
    "mcp_servers": "is of tools that the provider runs; only tools of your own are taken",
    "inference_geo": "is not taken; narrow where the data may go by the header x-forebay-region",
    "output_format": "is no longer part of this API; use output_config.format",
    "compaction": "is not taken: ask for a summary in words",
}.items()


def not_taken(fields: JsonObject) -> None:
    """Refuse, in words of its own, what is part of this API and has no place here. `fields` may hold anything."""
    if fields.get("thread") is not None:
        # Without it a turn that goes on with a thread has lost all that was said. Anthropic's own client knows this
        # code, and sends the whole conversation instead.
        why = "no conversations are kept here; send the whole of it, without thread"
        raise RequestError(why, code=Code.THREAD_UNSUPPORTED, param="thread")
    for name, why in _REFUSED:
        if fields.get(name) is not None:
            raise RequestError(f"{name} {why}", param=name)
    for place, message in _dicts(fields.get("messages")):
        _refuse_blocks(message.get("content"), f"messages[{place}].content")
    for place, tool in _dicts(fields.get("tools")):
        kind = tool.get("type")
        if isinstance(kind, str) and kind != "custom":
            raise RequestError(
                f"{plain_name(kind)} is a tool of the provider's; only tools of your own (type: custom) are taken",
                param=f"tools[{place}].type",
            )


def check_turns(turns: tuple[Turn, ...]) -> None:
    """Refuse turns that no backend would take: blocks on the wrong side, results of no call, images that are none."""
    called: set[str] = set()
    for place, turn in enumerate(turns):
        path = f"messages[{place}].content"
        if not turn.content and turn.role != "assistant":
            raise RequestError("a turn needs content", param=path)
        for number, block in enumerate(() if isinstance(turn.content, str) else turn.content):
            _check_block(turn.role, block, f"{path}[{number}]", called)
    if turns[-1].role == "assistant":
        raise RequestError(
            "the last turn must not be the assistant's: answers cannot be begun for the model here; "
            "ask for their form by output_config.format or in the system prompt",
            param=f"messages[{len(turns) - 1}].role",
        )


def check_tools(tools: tuple[ToolParam, ...], wanted: str | None, *, forced: bool) -> None:
    """Refuse tools that cannot be called, and a choice among them that cannot be made; `wanted` names the one."""
    for place, tool in enumerate(tools):
        if not _TOOL_NAME.fullmatch(tool.name):
            raise RequestError("expected 1 to 128 letters, digits, '_' or '-'", param=f"tools[{place}].name")
        check_schema(tool.input_schema, f"tools[{place}].input_schema")
    if wanted is not None and all(tool.name != wanted for tool in tools):
        raise RequestError(f"{wanted[:64]!r} is not among tools", param="tool_choice.name")
    if forced and not tools:
        raise RequestError("a call can be asked for only where there are tools", param="tool_choice")


def check_thinking(thinking: Thinking | None, max_tokens: int | None) -> None:
    """Refuse a budget of thought that is missing, out of place, or as large as the whole answer."""
    if thinking is None:
        return
    budget, path = thinking.budget_tokens, "thinking.budget_tokens"
    if (budget is None) == (thinking.type == "enabled"):
        raise RequestError("is required with type: enabled, and belongs to it alone", param=path)
    if budget is not None and budget < _LEAST_BUDGET:
        raise RequestError(f"expected {_LEAST_BUDGET} or more", param=path)
    if budget is not None and max_tokens is not None and budget >= max_tokens:
        raise RequestError("expected less than max_tokens, of which thought is a part", param=path)


def dropped(fields: JsonObject) -> Iterator[str]:
    """Fields of turns, blocks and tools that have no place here, of a body that has been found to be good."""
    for message in fields["messages"]:
        yield from unknown_fields(message, frozenset(Turn.__struct_fields__), "messages[].")
        yield from _dropped_of_blocks(message["content"], "messages[].content[].")
    yield from _dropped_of_blocks(fields.get("system"), "system[].")
    for tool in fields.get("tools") or ():
        yield from _unknown(tool, ToolParam, "tools[].")


def _refuse_blocks(content: object, path: str, depth: int = 0) -> None:
    for number, block in _dicts(content):
        here, kind = f"{path}[{number}]", block.get("type")
        if not isinstance(kind, str) or kind in _KINDS:
            _refuse_inside(block, here, depth)
        elif kind in _ANSWERED_BY_TEXT:
            raise RequestError(f"{kind} blocks are not taken: send what they say as text", param=here)
        elif kind in _OF_SERVER_TOOLS or kind.endswith("_tool_result"):
            raise RequestError(f"{plain_name(kind)} belongs to tools of the provider's, not taken here", param=here)


def _refuse_inside(block: Mapping[str, Any], path: str, depth: int) -> None:
    if depth < _MOST_RESULT_DEPTH:
        _refuse_blocks(block.get("content"), f"{path}.content", depth + 1)
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "file":
        raise RequestError("files that the provider keeps are not taken: send the image itself", param=f"{path}.source")


def _check_block(role: str, block: Block, path: str, called: set[str]) -> None:
    kind = str(block.__struct_config__.tag)
    if kind not in _BELONG[role]:
        raise RequestError(f"{kind} does not belong into a turn of role {role}", param=path)
    match block:
        case ToolUseBlock(id=found):
            called.add(found)
        case ToolResultBlock(tool_use_id=found):
            if found not in called:
                raise RequestError("no tool_use before it has this id", param=f"{path}.tool_use_id")
            for number, each in enumerate(block.content if isinstance(block.content, tuple) else ()):
                if isinstance(each, ImageBlock):
                    _check_image(each, f"{path}.content[{number}].source")
        case ImageBlock():
            _check_image(block, f"{path}.source")


def _check_image(image: ImageBlock, path: str) -> None:
    match image.source:
        case UrlSource(url=url) if not url.startswith(("https://", "http://")):
            raise RequestError("expected an address that begins with https://", param=f"{path}.url")
        case Base64Source(data=data):
            try:
                binascii.a2b_base64(data, strict_mode=True)
            except (binascii.Error, ValueError) as error:
                raise RequestError("expected an image in base64", param=f"{path}.data") from error


def _dropped_of_blocks(content: object, path: str) -> Iterator[str]:
    for _, block in _dicts(content):
        # Where blocks of one kind alone may stand, one that says nothing of its kind is read as of that kind.
        kind = _KINDS[block.get("type", "text")]
        yield from _unknown(block, kind, path)
        if kind is ToolResultBlock:
            yield from _dropped_of_blocks(block.get("content"), f"{path}content[].")
        yield from unknown_fields(block.get("cache_control") or {}, _CACHE_FIELDS, f"{path}cache_control.")


def _unknown(fields: Mapping[str, Any], kind: type, path: str) -> Iterator[str]:
    """Those of which something is said: what clients hand back of an answer holds many that are null."""
    known: frozenset[str] = frozenset((*kind.__struct_fields__, "type"))  # type: ignore[attr-defined]
    return (name for name in unknown_fields(fields, known, path) if fields[name.removeprefix(path)] is not None)


def _dicts(found: object) -> Iterable[tuple[int, dict[str, Any]]]:
    """The objects of a list, if it is one, each with its place in it."""
    return ((n, each) for n, each in enumerate(found) if isinstance(each, dict)) if isinstance(found, list) else ()
