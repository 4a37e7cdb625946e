"""Vectors of the fault server: made up from each text, the same for the same text."""

import base64
import hashlib
import struct
from typing import Any

from tests.faults.behaviours import Says

_WIDTH = 8


def inputs(call: dict[str, Any]) -> list[Any]:
    """Each text of a call, or its tokens."""
    given = call["input"]
    if isinstance(given, str) or all(isinstance(each, int) for each in given):
        return [given]
    return list(given)


def vector(text: object, width: int = _WIDTH) -> list[float]:
    """What a text is given; every number is one that float32 has."""
    digest = hashlib.shake_256(repr(text).encode()).digest(width)
    return [(byte - 128) / 128 for byte in digest]


def vectors(says: Says, call: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    """The body of an answer. Its entries come last first, as their `index` allows."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _written(vector(text, call.get("dimensions", _WIDTH)), call),
        }
        for index, text in enumerate(inputs(call))
    ]
    counted = {name: usage[name] for name in ("prompt_tokens", "total_tokens")}
    body = {"object": "list", "data": data[::-1], "model": says.model or call["model"]}
    return {**body, "usage": counted} if says.usage == "given" else body


def _written(numbers: list[float], call: dict[str, Any]) -> object:
    if call.get("encoding_format") != "base64":
        return numbers
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
