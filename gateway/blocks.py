"""What Anthropic's Messages API says and OpenAI's chat API cannot: signed thinking, cache marks, tools that failed.

A conversation that came in that form is kept beside its translation (`ChatRequest.conversation`), so that a backend
which speaks that API gets it whole; everybody else gets the translation. Decoding into these types is the allow-list:
a field that has no place here goes nowhere.
"""

from typing import Any, Literal

from msgspec import Struct


class CacheControl(Struct, frozen=True, omit_defaults=True):
    """Up to here the prompt may be kept by the provider and read again at a lower price."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="text"):
    """A piece of text."""

    text: str
    cache_control: CacheControl | None = None


class Base64Source(Struct, frozen=True, tag_field="type", tag="base64"):
    """An image's bytes."""

    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class UrlSource(Struct, frozen=True, tag_field="type", tag="url"):
    """An image's address, which only the provider fetches."""

    url: str


class ImageBlock(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="image"):
    """An image."""

    source: Base64Source | UrlSource
    cache_control: CacheControl | None = None


class ToolUseBlock(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="tool_use"):
    """A call of a tool, with its arguments as an object."""

    id: str
    name: str
    input: dict[str, Any]
    cache_control: CacheControl | None = None


class ToolResultBlock(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="tool_result"):
    """What a tool gave back, or that it failed."""

    tool_use_id: str
    content: str | tuple[TextBlock | ImageBlock, ...] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, frozen=True, tag_field="type", tag="thinking"):
    """What a model thought before it spoke. `signature` proves to the provider that it is the model's own."""

    thinking: str
    signature: str


class RedactedThinkingBlock(Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    """Thought that only the provider can read."""

    data: str


Block = TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock
AnswerBlock = TextBlock | ToolUseBlock | ThinkingBlock | RedactedThinkingBlock
"""What an answer is made of."""


class Turn(Struct, frozen=True):
    """One turn; its blocks in their order."""

    role: Literal["user", "assistant", "system"]
    content: str | tuple[Block, ...]


class ToolParam(Struct, frozen=True, omit_defaults=True):
    """A tool the model may call; `input_schema` is a JSON Schema."""

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class Thinking(Struct, frozen=True, omit_defaults=True):
    """Whether and how much to think before the answer; `budget_tokens` belongs to `enabled`."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """A request's turns, tools and thinking as Anthropic's API has them. `effort` is how hard to work at the answer."""

    messages: tuple[Turn, ...]
    system: str | tuple[TextBlock, ...] | None = None
    tools: tuple[ToolParam, ...] = ()
    thinking: Thinking | None = None
    effort: str | None = None
    cache_control: CacheControl | None = None
