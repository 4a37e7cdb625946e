"""Bodies of message requests, and what is made of them."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from gateway.errors import RequestError
from gateway.messages import ChatRequest
from gateway.wire.anthropic_request import parse_message

PLAIN: Mapping[str, Any] = MappingProxyType(
    {"model": "auto", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]}
)
"""The least that is a request."""

NO_HINTS: Mapping[str, str] = MappingProxyType({})

TEXT = {"type": "text", "text": "hi"}
CACHED = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
LINKED = {"type": "image", "source": {"type": "url", "url": "https://h/i.png"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"q": "x"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "four"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
HIDDEN = {"type": "redacted_thinking", "data": "xyz"}
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}


def user(*content: Any) -> dict[str, Any]:
    """A user's turn of these blocks."""
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    """An assistant's turn of these blocks."""
    return {"role": "assistant", "content": list(content)}


def body(fields: Mapping[str, Any]) -> bytes:
    """The plain request with these fields."""
    return json.dumps({**PLAIN, **fields}).encode()


def parsed(fields: Mapping[str, Any], hints: Mapping[str, str] = NO_HINTS) -> ChatRequest:
    """What the plain request with these fields and header hints becomes."""
    return parse_message(body(fields), dict(hints), "id-1")


def refused(fields: Mapping[str, Any], hints: Mapping[str, str] = NO_HINTS) -> RequestError:
    """The refusal of the plain request with these fields and header hints."""
    with pytest.raises(RequestError) as caught:
        parse_message(body(fields), dict(hints), "id-1")
    return caught.value
