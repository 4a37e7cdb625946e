"""Answers and events of Anthropic's API as that API writes them."""

import json
from collections.abc import Mapping
from typing import Any


def message(*content: Mapping[str, Any], stop_reason: str | None = "end_turn", **fields: Any) -> dict[str, Any]:
    """A whole answer of these blocks."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
        **fields,
    }


def event(kind: str, **fields: Any) -> bytes:
    """The data of one event."""
    return json.dumps({"type": kind, **fields}).encode()


def start(usage: Mapping[str, Any] | None = None) -> bytes:
    """The first event."""
    counted = {"input_tokens": 3, "output_tokens": 1} if usage is None else usage
    return event("message_start", message=message(stop_reason=None, usage=counted))


def block(index: int, content: Mapping[str, Any], *deltas: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The events of one block."""
    return (
        event("content_block_start", index=index, content_block=content),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    )


def text(index: int, *pieces: str) -> tuple[bytes, ...]:
    """A block of text."""
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def end(stop_reason: str = "end_turn", usage: Mapping[str, Any] | None = None, **fields: Any) -> tuple[bytes, bytes]:
    """The last two events."""
    counted = {"output_tokens": 2} if usage is None else usage
    delta = {"stop_reason": stop_reason, "stop_sequence": None, **fields}
    return event("message_delta", delta=delta, usage=counted), event("message_stop")
