"""Anthropic's turns, tools and thinking in the words of OpenAI's chat API, for backends that know no others."""

from collections.abc import Iterable, Iterator
from types import MappingProxyType

import msgspec

from gateway.blocks import (
    Base64Source,
    Block,
    Conversation,
    ImageBlock,
    TextBlock,
    Thinking,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
)
from gateway.messages import (
    FunctionCall,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    Message,
    Part,
    TextPart,
    Tool,
    ToolCall,
)

# Budgets of thought, in tokens, up to which it is low, and medium; beyond that it is high.
_LOW_BUDGET = 4096
_MEDIUM_BUDGET = 16384
# The strongest word that every model that thinks knows.
_EFFORTS = MappingProxyType({"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"})
_FAILED = "Error: "


def openai_messages(talk: Conversation) -> tuple[Message, ...]:
    """The turns. What a model thought stays out: it is no part of a conversation there."""
    system = system_text(talk.system)
    first = (Message("system", system),) if system else ()
    return (*first, *(message for turn in talk.messages for message in _messages(turn)))


def openai_tools(talk: Conversation) -> tuple[Tool, ...]:
    """The tools."""
    return tuple(Tool(FunctionSpec(tool.name, tool.description, tool.input_schema, tool.strict)) for tool in talk.tools)


def openai_effort(talk: Conversation) -> str | None:
    """How hard to think: what was asked for, or what a budget of tokens amounts to."""
    if talk.effort is not None:
        return _EFFORTS.get(talk.effort)
    budget = None if talk.thinking is None else talk.thinking.budget_tokens
    if budget is None:
        return None
    return "low" if budget <= _LOW_BUDGET else "medium" if budget <= _MEDIUM_BUDGET else "high"


def untold(talk: Conversation) -> Iterator[str]:
    """Fields whose meaning is lost in the translation."""
    blocks = [block for turn in talk.messages if not isinstance(turn.content, str) for block in turn.content]
    if talk.cache_control or any(map(_cached, (*_system_blocks(talk.system), *blocks, *talk.tools))):
        yield "cache_control"
    if any(isinstance(block, ThinkingBlock) for block in blocks):
        yield "messages[].content[].thinking"
    if isinstance(talk.thinking, Thinking) and talk.thinking.type != "adaptive" and openai_effort(talk) is None:
        yield "thinking"


def system_text(system: str | tuple[TextBlock, ...] | None) -> str:
    """A system prompt as one text."""
    return system if isinstance(system, str) else "\n\n".join(block.text for block in system or ())


def _system_blocks(system: str | tuple[TextBlock, ...] | None) -> tuple[TextBlock, ...]:
    return system if isinstance(system, tuple) else ()


def _cached(holder: object) -> bool:
    return getattr(holder, "cache_control", None) is not None


def _messages(turn: Turn) -> Iterator[Message]:
    if isinstance(turn.content, str):
        yield Message(turn.role, turn.content)
    elif turn.role == "assistant":
        yield from _assistant(turn.content)
    elif turn.role == "system":
        yield Message("system", system_text(tuple(_texts(turn.content))))
    else:
        yield from _user(turn.content)


def _assistant(blocks: tuple[Block, ...]) -> Iterator[Message]:
    text = "\n".join(block.text for block in _texts(blocks))
    calls = tuple(
        ToolCall(block.id, FunctionCall(block.name, msgspec.json.encode(block.input).decode()))
        for block in blocks
        if isinstance(block, ToolUseBlock)
    )
    if text or calls:
        yield Message("assistant", text or None, tool_calls=calls or None)


def _user(blocks: tuple[Block, ...]) -> Iterator[Message]:
    """Results of tools first, as the calls they answer came just before; their images after them, as nobody else's."""
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, ToolResultBlock):
            shown = block.content if isinstance(block.content, tuple) else ()
            yield Message("tool", _result_text(block), tool_call_id=block.tool_use_id)
            parts += [_image(each) for each in shown if isinstance(each, ImageBlock)]
    parts += _parts(blocks)
    if parts:
        yield Message("user", parts[0].text if len(parts) == 1 and isinstance(parts[0], TextPart) else tuple(parts))


def _parts(blocks: Iterable[Block]) -> list[Part]:
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, TextBlock):
            parts.append(TextPart(block.text))
        elif isinstance(block, ImageBlock):
            parts.append(_image(block))
    return parts


def _result_text(block: ToolResultBlock) -> str:
    """The words of a result; that a tool failed is said in words too, for there is no field for it."""
    found = block.content
    text = found if isinstance(found, str) else "\n".join(each.text for each in _texts(found or ()))
    return _FAILED + text if block.is_error and not text.lower().startswith("error") else text


def _texts(blocks: Iterable[Block]) -> Iterator[TextBlock]:
    return (block for block in blocks if isinstance(block, TextBlock))


def _image(block: ImageBlock) -> ImagePart:
    source = block.source
    if isinstance(source, Base64Source):
        return ImagePart(ImageUrl(f"data:{source.media_type};base64,{source.data}"))
    return ImagePart(ImageUrl(source.url))
