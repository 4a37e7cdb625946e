"""Answers as callers of Anthropic's API see them; the official package reads them, and so does our own reader."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.blocks import RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from gateway.errors import AnswerError, Code, RequestError, Unavailable
from gateway.messages import (
    Choice,
    Completion,
    Delta,
    FunctionCall,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageQuality,
)
from gateway.wire.anthropic_answer import MessageWriter, error_body, error_event, error_status
from gateway.wire.anthropic_upstream import AnthropicApi, AnthropicEvents
from gateway.wire.sse import SseDecoder

FOREBAY: dict[str, object] = {"tier": "light", "cost_usd": 0.5}
USAGE = Usage(123, 9, 100, 5, UsageQuality.EXACT, cache_written=20)
EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAMES = st.text("abcXYZ09_-", min_size=1, max_size=8)
INPUTS = st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(-9, 9) | TEXT, max_size=3)
BLOCKS = st.lists(
    st.builds(TextBlock, TEXT)
    | st.builds(ThinkingBlock, TEXT, TEXT)
    | st.builds(RedactedThinkingBlock, TEXT)
    | st.builds(ToolUseBlock, NAMES, NAMES, INPUTS),
    max_size=5,
)


def writer() -> MessageWriter:
    """A writer of one answer."""
    return MessageWriter("r1", "m")


def whole(choice: Choice, usage: Usage = USAGE) -> dict[str, Any]:
    """A whole answer, which the official package takes."""
    completion = Completion(model="m", choices=(choice,), usage=usage)
    raw = writer().whole(completion, usage, FOREBAY)
    Message.model_validate_json(raw)
    found: dict[str, Any] = json.loads(raw)
    return found


def events(raw: bytes) -> list[dict[str, Any]]:
    """The events in these bytes; each has a name, which is its type."""
    names = [line[7:].decode() for line in raw.split(b"\n") if line.startswith(b"event: ")]
    found = [json.loads(data) for data in SseDecoder().feed(raw)]
    assert names == [each["type"] for each in found]
    return found


def streamed(deltas: Sequence[Delta], finish: Delta, usage: Usage = USAGE) -> list[dict[str, Any]]:
    """The events of a whole stream."""
    each = writer()
    raw = each.opening(Usage(prompt=7)) + b"".join(map(each.piece, deltas)) + each.ending([finish], usage, FOREBAY)
    return events(raw)


def gathered(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What the official package makes of a stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for each in found:
        event = EVENT.validate_python(each)
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    gathered: dict[str, Any] = snapshot.to_dict()
    return gathered


def content_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of an answer."""
    blocks: list[dict[str, Any]] = found["content"]
    return blocks


def test_a_whole_answer_has_the_shape_of_the_api() -> None:
    """Every field that the reference has, the gateway's id, and the object `forebay`."""
    assert whole(Choice(text="hi", finish_reason="stop")) == {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 100,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 5},
        },
        "forebay": FOREBAY,
    }


def test_an_answer_of_another_api_is_made_of_blocks() -> None:
    """Thought first, then text, then calls; nobody vouches for the thought."""
    calls = (ToolCall("c1", FunctionCall("f", '{"q": 1}')), ToolCall("c2", FunctionCall("g", "")))
    found = whole(Choice(text="hi", reasoning="hm", tool_calls=calls, finish_reason="tool_calls"))
    assert found["stop_reason"] == "tool_use"
    assert content_of(found) == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"q": 1}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
    ]


def test_arguments_that_are_no_object_are_shown_as_they_are() -> None:
    """Under the name that API's guide has for it, so that nothing is made up."""
    call = ToolCall("c1", FunctionCall("f", '{"q": '))
    (block,) = content_of(whole(Choice(tool_calls=(call,), finish_reason="tool_calls")))
    assert block["input"] == {"INVALID_JSON": '{"q": '}


def test_an_answer_without_words_has_no_blocks() -> None:
    """Whole or streamed."""
    assert content_of(whole(Choice(text="", finish_reason="stop"))) == []
    found = streamed([], Delta(finish_reason="length"))
    assert [each["type"] for each in found] == ["message_start", "message_delta", "message_stop"]


STOPS: list[tuple[Choice, str, str | None]] = [
    (Choice(text="a", finish_reason="stop"), "end_turn", None),
    (Choice(text="a", finish_reason="stop", stop_sequence="END"), "stop_sequence", "END"),
    (Choice(text="a", finish_reason="length"), "max_tokens", None),
    (Choice(text="a", finish_reason="length", stop_sequence="END"), "max_tokens", None),
    (Choice(text="a", finish_reason="content_filter"), "refusal", None),
    (Choice(refusal="no", finish_reason="stop"), "refusal", None),
    (Choice(tool_calls=(ToolCall("c", FunctionCall("f", "{}")),), finish_reason="tool_calls"), "tool_use", None),
    (Choice(tool_calls=(ToolCall("c", FunctionCall("f", "{}")),), finish_reason="stop"), "tool_use", None),
    (Choice(tool_calls=(ToolCall("c", FunctionCall("f", "{}")),), finish_reason="length"), "max_tokens", None),
    (Choice(text="a", finish_reason="of the future"), "end_turn", None),
]


def pieces(choice: Choice) -> list[Delta]:
    """The same answer in pieces."""
    calls = [
        Delta(tool_calls=(ToolCallDelta(n, call.id, call.function.name, call.function.arguments),))
        for n, call in enumerate(choice.tool_calls)
    ]
    said = [Delta(text=choice.text), Delta(refusal=choice.refusal)]
    return [delta for delta in (*said, *calls) if delta.says_something]


@pytest.mark.parametrize(("choice", "reason", "sequence"), STOPS, ids=str)
def test_why_it_ended(choice: Choice, reason: str, sequence: str | None) -> None:
    """In the words of that API, whole and streamed."""
    found = whole(choice)
    assert (found["stop_reason"], found["stop_sequence"]) == (reason, sequence)
    finish = Delta(finish_reason=choice.finish_reason, stop_sequence=choice.stop_sequence)
    delta = streamed(pieces(choice), finish)[-2]["delta"]
    assert delta == {"stop_reason": reason, "stop_sequence": sequence}


def test_a_stream_has_the_events_of_the_api() -> None:
    """Start, blocks one after the other, the reason why it ended with the usage and what happened, and the end."""
    deltas = [
        Delta(reasoning="h"),
        Delta(reasoning="m"),
        Delta(text="a"),
        Delta(text="b"),
        Delta(tool_calls=(ToolCallDelta(0, "c1", "f", ""),)),
        Delta(tool_calls=(ToolCallDelta(0, arguments='{"q"'),)),
        Delta(tool_calls=(ToolCallDelta(0, arguments=": 1}"),)),
        Delta(tool_calls=(ToolCallDelta(1, "c2", "g"),)),
    ]
    found = streamed(deltas, Delta(finish_reason="tool_calls"))
    usage = {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
        "output_tokens_details": {"thinking_tokens": 0},
    }
    opening = {"id": "msg_r1", "type": "message", "role": "assistant", "model": "m", "content": []}
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    counted = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 100,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 5},
    }

    def delta(index: int, **fields: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": fields}

    def begin(index: int, block: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": block}

    assert found == [
        {"type": "message_start", "message": {**opening, "stop_reason": None, "stop_sequence": None, "usage": usage}},
        begin(0, {"type": "thinking", "thinking": "", "signature": ""}),
        delta(0, type="thinking_delta", thinking="h"),
        delta(0, type="thinking_delta", thinking="m"),
        {"type": "content_block_stop", "index": 0},
        begin(1, {"type": "text", "text": ""}),
        delta(1, type="text_delta", text="a"),
        delta(1, type="text_delta", text="b"),
        {"type": "content_block_stop", "index": 1},
        begin(2, call),
        delta(2, type="input_json_delta", partial_json='{"q"'),
        delta(2, type="input_json_delta", partial_json=": 1}"),
        {"type": "content_block_stop", "index": 2},
        begin(3, {**call, "id": "c2", "name": "g"}),
        {"type": "content_block_stop", "index": 3},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": counted,
            "forebay": FOREBAY,
        },
        {"type": "message_stop"},
    ]


def test_a_call_without_an_id_gets_one() -> None:
    """Some engines send none, and its result has to name it."""
    found = streamed([Delta(tool_calls=(ToolCallDelta(0, None, "f", "{}"),))], Delta(finish_reason="tool_calls"))
    assert found[1]["content_block"]["id"] == "toolu_r1_0"


def test_bounds_of_blocks_are_kept_where_a_backend_has_them() -> None:
    """Two blocks of text in a row stay two."""
    deltas = [Delta(text="a", block=0), Delta(text="b", block=0), Delta(text="c", block=1)]
    found = gathered(streamed(deltas, Delta(finish_reason="stop")))
    assert [block["text"] for block in content_of(found)] == ["ab", "c"]


def as_sent(blocks: Sequence[Any]) -> list[Delta]:
    """Blocks as a backend of that API streams them, read by our reader."""
    reader, deltas = AnthropicEvents(), list[Delta]()
    for index, block in enumerate(blocks):
        empty, pieces = _parts(block)
        sent = [{"type": "content_block_start", "index": index, "content_block": empty}]
        sent += [{"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces]
        sent.append({"type": "content_block_stop", "index": index})
        for event in sent:
            reader.take(json.dumps(event).encode(), deltas)
    return deltas


def _parts(block: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block:
        case TextBlock(text=text):
            half = len(text) // 2
            parts = [{"type": "text_delta", "text": part} for part in (text[:half], text[half:])]
            return {"type": "text", "text": ""}, parts
        case ThinkingBlock(thinking=thinking, signature=signature):
            said = {"type": "thinking_delta", "thinking": thinking}
            signed = {"type": "signature_delta", "signature": signature}
            return {"type": "thinking", "thinking": "", "signature": ""}, [said, signed]
        case ToolUseBlock(id=call_id, name=name, input=arguments):
            text = json.dumps(arguments) if arguments else ""
            return (
                {"type": "tool_use", "id": call_id, "name": name, "input": {}},
                [{"type": "input_json_delta", "partial_json": part} for part in (text[:3], text[3:])],
            )
    found: dict[str, Any] = msgspec.to_builtins(block)
    return found, []


@given(BLOCKS)
@settings(max_examples=150, deadline=None)
def test_blocks_of_the_api_pass_through_unchanged(blocks: list[Any]) -> None:
    """What a backend of that API says reaches a caller of it as it was, whole and streamed."""
    said = {"model": "m", "content": blocks, "stop_reason": "end_turn"}
    completion = AnthropicApi().completion(msgspec.json.encode(said))
    again = AnthropicApi().completion(writer().whole(completion, USAGE, FOREBAY))
    assert again.choices[0].blocks == tuple(blocks)
    deltas = [delta for delta in as_sent(blocks) if delta.says_something]
    assert content_of(gathered(streamed(deltas, Delta(finish_reason="stop")))) == msgspec.to_builtins(blocks)


ERRORS: list[tuple[AnswerError, int, str]] = [
    (RequestError("m", param="temperature"), 400, "invalid_request_error"),
    (RequestError("m", code=Code.INVALID_API_KEY, status=401), 401, "authentication_error"),
    (RequestError("m", code=Code.RESIDENCY_NO_ELIGIBLE_BACKEND, status=403), 403, "permission_error"),
    (RequestError("m", code=Code.MODEL_NOT_FOUND, status=404, param="model"), 404, "not_found_error"),
    (RequestError("m", code=Code.METHOD_NOT_ALLOWED, status=405), 405, "invalid_request_error"),
    (RequestError("m", code=Code.BODY_TOO_LARGE, status=413), 413, "request_too_large"),
    (RequestError("m", code=Code.UNSUPPORTED_ENCODING, status=415), 415, "invalid_request_error"),
    (Unavailable("m", code=Code.NO_CAPACITY, status=429, retry_after=2), 529, "overloaded_error"),
    (Unavailable("m", code=Code.RATE_LIMITED, status=429, retry_after=2), 429, "rate_limit_error"),
    (AnswerError("m", code=Code.INTERNAL_ERROR, status=500), 500, "api_error"),
    (Unavailable("m", code=Code.UPSTREAM_ERROR, status=502), 502, "api_error"),
    (Unavailable("m", code=Code.ENGINE_UNAVAILABLE, status=503, retry_after=1), 503, "overloaded_error"),
    (Unavailable("m", code=Code.DEADLINE_EXCEEDED, status=504), 504, "timeout_error"),
]


@pytest.mark.parametrize(("error", "status", "kind"), ERRORS, ids=str)
def test_errors_have_the_shape_of_the_api(error: AnswerError, status: int, kind: str) -> None:
    """Type, message, the request's id, and our code where that API has its own; as a body and as the last event."""
    details = {"error_code": error.code.value} | ({"param": error.param} if error.param else {})
    message = f"{error.param}: m" if error.param else "m"
    expected = {
        "type": "error",
        "error": {"type": kind, "message": message, "details": details},
        "request_id": "r1",
    }
    assert error_status(error) == status
    assert json.loads(error_body(error, "r1")) == expected
    assert events(error_event(error, "r1")) == [expected]


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("messages[0].content[12].source", "messages.0.content.12.source"),
        ("response_format", "output_config.format"),
        ("tools[3].input_schema", "tools.3.input_schema"),
        ("x-forebay-region", "x-forebay-region"),
    ],
)
def test_fields_are_named_as_that_api_names_them(param: str, told: str) -> None:
    """With dots, and by its own words."""
    error = json.loads(error_body(RequestError(f"{param}: m", param=param), "r1"))["error"]
    assert (error["message"], error["details"]["param"]) == (f"{told}: m", told)


def test_a_message_of_any_characters_is_one_event() -> None:
    """A line end in a message does not end the event that carries it."""
    error = RequestError('a\r\n\n"\u2028\x00')
    (found,) = events(error_event(error, "r1"))
    assert found["error"]["message"] == 'a\r\n\n"\u2028\x00'
