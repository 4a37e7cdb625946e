"""Bodies of chat requests, and what is made of them."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from gateway.errors import RequestError
from gateway.messages import ChatRequest
from gateway.wire.openai_request import parse_chat

PLAIN: Mapping[str, Any] = MappingProxyType({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})
"""The least that is a request."""

NO_HINTS: Mapping[str, str] = MappingProxyType({})


def body(fields: Mapping[str, Any]) -> bytes:
    """The plain request with these fields."""
    return json.dumps({**PLAIN, **fields}).encode()


def parsed(fields: Mapping[str, Any], hints: Mapping[str, str] = NO_HINTS) -> ChatRequest:
    """What the plain request with these fields and header hints becomes."""
    return parse_chat(body(fields), dict(hints), "id-1")


def refused(fields: Mapping[str, Any], hints: Mapping[str, str] = NO_HINTS) -> RequestError:
    """The refusal of the plain request with these fields and header hints."""
    return refused_bytes(body(fields), hints)


def refused_bytes(raw: bytes, hints: Mapping[str, str] = NO_HINTS) -> RequestError:
    """The refusal of a body, whatever is in it."""
    with pytest.raises(RequestError) as caught:
        parse_chat(raw, dict(hints), "id-1")
    return caught.value
