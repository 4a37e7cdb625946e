"""The API as backends speak it: the events of a stream, and errors."""

import json
from typing import Any

import msgspec
import pytest

from gateway.messages import (
    Delta,
    TokenLogprob,
    ToolCallDelta,
)
from gateway.wire.openai_upstream import (
    decode_chunk,
    decode_error,
)

CHUNKS: list[tuple[dict[str, Any], Delta]] = [
    ({"delta": {}}, Delta()),
    ({"delta": {"role": "assistant", "content": ""}}, Delta(text="")),
    ({"index": 2, "delta": {"content": "a"}}, Delta(index=2, text="a")),
    ({"delta": {"content": None, "refusal": "no"}}, Delta(refusal="no")),
    ({"delta": {"reasoning_content": "hm"}}, Delta(reasoning="hm")),
    ({"delta": {"reasoning": "hm"}}, Delta(reasoning="hm")),
    ({"delta": {}, "finish_reason": "stop"}, Delta(finish_reason="stop")),
    ({"delta": {"tool_calls": None}}, Delta()),
    (
        {
            "delta": {
                "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]
            }
        },
        Delta(tool_calls=(ToolCallDelta(0, "c", "f", ""),)),
    ),
    (
        {"delta": {"tool_calls": [{"index": 1, "function": {"arguments": '{"a"'}}, {"index": 2}]}},
        Delta(tool_calls=(ToolCallDelta(1, arguments='{"a"'), ToolCallDelta(2))),
    ),
    (
        {"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": -1.5, "bytes": None}]}},
        Delta(text="a", logprobs=(TokenLogprob("a", -1.5, msgspec.Raw(b"null")),)),
    ),
    ({"delta": {"content": "a"}, "logprobs": None}, Delta(text="a")),
]


@pytest.mark.parametrize(
    ("choice", "delta"), CHUNKS, ids=lambda value: value.text if isinstance(value, Delta) else str(value)
)
def test_pieces_of_every_kind_are_read(choice: dict[str, Any], delta: Delta) -> None:
    """Roles, text, reasoning, tool calls in parts, logprobs and the end of a choice."""
    assert decode_chunk(json.dumps({"choices": [choice]}).encode()).deltas() == [delta]


def test_an_event_may_carry_many_things_or_nothing() -> None:
    """Several choices, usage alone, an error, or fields nobody knows."""
    chunk = decode_chunk(json.dumps({"model": "m", "choices": [each for each, _ in CHUNKS]}).encode())
    assert (chunk.model, chunk.deltas()) == ("m", [delta for _, delta in CHUNKS])
    assert decode_chunk(b"{}").deltas() == []
    assert decode_chunk(b'{"error": {"message": "x"}}').error == {"message": "x"}
    assert decode_chunk(b'{"error": "x"}').error == "x"


@pytest.mark.parametrize("raw", [b"", b"x", b"[]", b'{"choices": [{"index": 0}]}', b'{"choices": {}}', b'{"model": 5}'])
def test_an_event_that_is_none_raises(raw: bytes) -> None:
    """It must end the stream as broken, not pass as silence."""
    with pytest.raises(msgspec.MsgspecError):
        decode_chunk(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}', ("c", "p", "m")),
        (b'{"error": {"message": "m", "code": 42}}', ("42", None, "m")),
        (b'{"error": {"message": null, "code": null}}', (None, None, "")),
        (b'{"error": {}}', (None, None, "")),
        (b'{"error": "plain"}', (None, None, "plain")),
        (b'{"detail": "not ours"}', (None, None, "")),
        (b"<html>", (None, None, "")),
        (b"", (None, None, "")),
        (b"\xff", (None, None, "")),
        (b'{"error": ' + b"[" * 100_000, (None, None, "")),
        (b'{"error": {"message": "m", "param": ["a"]}}', (None, None, "")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_body_says_what_it_says_or_nothing(raw: bytes, expected: tuple[str | None, str | None, str]) -> None:
    """Code, parameter and message of errors in OpenAI's shape; of any other, nothing, and no exception."""
    assert decode_error(raw) == expected
