"""Answers, events and errors of Anthropic's API, as a gateway in front of it reads them."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.blocks import RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from gateway.errors import Reason
from gateway.messages import Delta, FunctionCall, ToolCall, ToolCallDelta, Usage, UsageQuality
from gateway.wire.anthropic_upstream import AnthropicApi, AnthropicEvents, decode_count
from gateway.wire.upstream import ErrorEvent
from tests.gateway.wire.message_events import block, end, event, message, start, text

API = AnthropicApi()
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"q": "x"}}


def answer(*content: dict[str, Any], **fields: Any) -> bytes:
    """The bytes of a whole answer."""
    return json.dumps(message(*content, **fields)).encode()


def test_an_answer_is_read_in_both_forms() -> None:
    """As blocks in their order, and as text, reasoning and calls for those who know no blocks."""
    raw = answer(
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me ", "citations": None},
        {"type": "text", "text": "see."},
        CALL,
        {"type": "of_the_future", "x": 1},
        stop_reason="tool_use",
    )
    found = API.completion(raw)
    (choice,) = found.choices
    assert (found.model, choice.text, choice.reasoning, choice.finish_reason) == (
        "claude-x",
        "Let me see.",
        "hm",
        "tool_calls",
    )
    assert choice.tool_calls == (ToolCall("toolu_1", FunctionCall("f", '{"q": "x"}')),)
    assert choice.blocks == (
        ThinkingBlock("hm", "sig"),
        RedactedThinkingBlock("xyz"),
        TextBlock("Let me "),
        TextBlock("see."),
        ToolUseBlock("toolu_1", "f", {"q": "x"}),
    )


def test_an_answer_of_nothing() -> None:
    """Has no text, and is an answer."""
    (choice,) = API.completion(answer()).choices
    assert (choice.text, choice.blocks, choice.finish_reason) == (None, (), "stop")


STOPS = [
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("pause_turn", "stop"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("tool_use", "tool_calls"),
    ("refusal", "content_filter"),
]


@pytest.mark.parametrize(("stop_reason", "finish_reason"), STOPS)
def test_why_it_ended(stop_reason: str, finish_reason: str) -> None:
    """The same whole and streamed, with the stop string that did it."""
    sequence = "END" if stop_reason == "stop_sequence" else None
    (choice,) = API.completion(answer(stop_reason=stop_reason, stop_sequence=sequence)).choices
    assert (choice.finish_reason, choice.stop_sequence) == (finish_reason, sequence)
    deltas, reader = read(start(), *end(stop_reason, stop_sequence=sequence))
    assert deltas == [Delta(finish_reason=finish_reason, stop_sequence=sequence)]
    assert (reader.finished, reader.done) == (True, True)


USAGES: list[tuple[dict[str, Any] | None, Usage]] = [
    (None, Usage()),
    ({"input_tokens": 3, "output_tokens": 2}, Usage(3, 2, quality=UsageQuality.EXACT)),
    (
        {
            "input_tokens": 3,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 5},
            "service_tier": "standard",
        },
        Usage(123, 9, 100, 5, UsageQuality.EXACT, cache_written=20),
    ),
    (
        {"input_tokens": 3, "cache_read_input_tokens": None, "output_tokens": 2, "output_tokens_details": None},
        Usage(3, 2, quality=UsageQuality.EXACT),
    ),
]


@pytest.mark.parametrize(("given_usage", "usage"), USAGES, ids=str)
def test_tokens_are_counted(given_usage: dict[str, Any] | None, usage: Usage) -> None:
    """The prompt is all of it: what was fresh, what was read from the cache and what was put into it."""
    assert API.completion(answer(usage=given_usage)).usage == usage


def test_later_counts_take_the_place_of_earlier_ones() -> None:
    """Those that are left out stay; before the last ones nothing is settled."""
    reader = AnthropicEvents()
    reader.take(start({"input_tokens": 3, "cache_read_input_tokens": 100, "output_tokens": 1}), [])
    assert reader.usage == Usage(103, 1, 100, quality=UsageQuality.UNKNOWN)
    reader.take(end(usage={"output_tokens": 50, "cache_read_input_tokens": 90})[0], [])
    assert reader.usage == Usage(93, 50, 90, quality=UsageQuality.EXACT)


NO_ANSWERS = [
    b"",
    b"{}",
    b"<html>",
    b'{"model": "\xff", "content": []}',
    b"[" * 100_000,
    answer(stop_reason=None),
    answer({"type": "tool_use", "id": "a", "name": "f", "input": [1]}),
    answer({"text": "x"}),
    answer(usage={"input_tokens": -1, "output_tokens": 2}),
    answer(usage={"input_tokens": 2**63, "output_tokens": 2}),
    b'{"type": "error", "error": {"type": "api_error", "message": "x"}}',
]


@pytest.mark.parametrize("raw", NO_ANSWERS, ids=lambda raw: raw[:40])
def test_what_is_no_answer(raw: bytes) -> None:
    """Is an error that the caller of this function knows."""
    with pytest.raises((msgspec.MsgspecError, ValueError, RecursionError)):
        API.completion(raw)


def read(*events: bytes) -> tuple[list[Delta], AnthropicEvents]:
    """The pieces of a stream, and its reader at the end."""
    reader, deltas = AnthropicEvents(), list[Delta]()
    for each in events:
        reader.take(each, deltas)
    return deltas, reader


def test_a_stream_of_everything() -> None:
    """Pieces come in order, each with the place of its block; calls are counted by themselves."""
    thought = {"type": "thinking", "thinking": "", "signature": ""}
    deltas, reader = read(
        start(),
        event("ping"),
        *block(
            0,
            thought,
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": "sig"},
        ),
        *block(1, {"type": "redacted_thinking", "data": "xyz"}),
        *text(2, "a", "b"),
        *block(
            3,
            {**CALL, "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"q":'},
            {"type": "input_json_delta", "partial_json": '"x"}'},
        ),
        *block(4, {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}),
        event("of_the_future", x=1),
        *end("tool_use"),
    )
    assert reader.model == "claude-x"
    assert deltas == [
        Delta(reasoning="hm", block=0),
        Delta(signature="sig", block=0),
        Delta(redacted="xyz", block=1),
        Delta(text="a", block=2),
        Delta(text="b", block=2),
        Delta(tool_calls=(ToolCallDelta(0, "toolu_1", "f", ""),), block=3),
        Delta(tool_calls=(ToolCallDelta(0, arguments=""),), block=3),
        Delta(tool_calls=(ToolCallDelta(0, arguments='{"q":'),), block=3),
        Delta(tool_calls=(ToolCallDelta(0, arguments='"x"}'),), block=3),
        Delta(tool_calls=(ToolCallDelta(1, "toolu_2", "g", ""),), block=4),
        Delta(tool_calls=(ToolCallDelta(1, arguments="{}"),), block=4),
        Delta(finish_reason="tool_calls"),
    ]


def test_blocks_that_begin_with_something() -> None:
    """What stands in the first event of a block counts like what follows."""
    deltas, _ = read(
        start(),
        *block(0, {"type": "thinking", "thinking": "h", "signature": ""}),
        *block(1, {"type": "text", "text": "a"}),
        *block(2, CALL),
    )
    assert deltas == [
        Delta(reasoning="h", block=0),
        Delta(text="a", block=1),
        Delta(tool_calls=(ToolCallDelta(0, "toolu_1", "f", '{"q": "x"}'),), block=2),
    ]


def test_a_stream_is_finished_by_its_stop_reason() -> None:
    """Neither the end of a block nor message_stop makes up for it."""
    _, reader = read(start(), *text(0, "a"), event("message_stop"))
    assert (reader.finished, reader.done) == (False, True)
    _, reader = read(start(), *text(0, "a"), end()[0])
    assert (reader.finished, reader.done) == (True, False)


def test_an_error_event_ends_it() -> None:
    """Whatever its kind."""
    with pytest.raises(ErrorEvent):
        read(start(), event("error", error={"type": "overloaded_error", "message": "Overloaded"}))


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_event_or_an_error(raw: bytes) -> None:
    """That the reader of the stream knows."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ErrorEvent):
        assert isinstance(read(raw)[0], list)


def test_one_wrong_byte_is_an_event_or_an_error() -> None:
    """Anywhere in a stream."""
    events = (start(), *text(0, "a"), *block(1, {**CALL, "input": {}}), *end())
    for number, each in enumerate(events):
        for place in range(len(each)):
            spoilt = each[:place] + b"7" + each[place + 1 :]
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, ErrorEvent):
                assert read(*events[:number], spoilt, *events[number + 1 :])


Told = tuple[Reason, str | None, str | None, bool | None]
FAULTS: list[tuple[int, dict[str, Any], Told]] = [
    (400, {"message": "messages.0.content: too odd"}, (Reason.UPSTREAM_ERROR, None, "messages.0.content", None)),
    (
        400,
        {"type": "invalid_request_error", "message": "No."},
        (Reason.UPSTREAM_ERROR, "invalid_request_error", None, None),
    ),
    (
        400,
        {"message": "prompt is too long: 208310 tokens > 200000 maximum"},
        (Reason.CONTEXT_LENGTH, None, None, None),
    ),
    (
        400,
        {"message": "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"},
        (Reason.CONTEXT_LENGTH, None, None, None),
    ),
    (413, {"type": "request_too_large", "message": "big"}, (Reason.CONTEXT_LENGTH, "request_too_large", None, None)),
    (400, {"message": "Output blocked by content filtering policy"}, (Reason.CONTENT_FILTER, None, None, None)),
    (400, {"message": "Your credit balance is too low"}, (Reason.UPSTREAM_ERROR, None, None, False)),
    (400, {"message": "You have reached your specified API usage limits."}, (Reason.UPSTREAM_ERROR, None, None, False)),
    (401, {"type": "authentication_error"}, (Reason.UPSTREAM_ERROR, "authentication_error", None, None)),
    (429, {"type": "rate_limit_error"}, (Reason.RATE_LIMIT, "rate_limit_error", None, None)),
    (500, {"type": "api_error"}, (Reason.UPSTREAM_ERROR, "api_error", None, None)),
    (504, {"type": "timeout_error"}, (Reason.UPSTREAM_TIMEOUT, "timeout_error", None, None)),
    (408, {}, (Reason.UPSTREAM_TIMEOUT, None, None, None)),
    (529, {"type": "overloaded_error"}, (Reason.UPSTREAM_ERROR, "overloaded_error", None, None)),
    (
        400,
        {"type": "invalid_request_error", "details": {"error_code": "image_dimensions_too_large"}},
        (Reason.UPSTREAM_ERROR, "image_dimensions_too_large", None, None),
    ),
]


@pytest.mark.parametrize(("status", "error", "told"), FAULTS, ids=str)
def test_what_an_error_means(status: int, error: dict[str, Any], told: Told) -> None:
    """Its reason says whom to ask next, its code and the field at fault what to mend."""
    fault = API.fault(status, json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode())
    assert (fault.reason, fault.code, fault.param, fault.callers) == told


@pytest.mark.parametrize("raw", [b"", b"<html>busy</html>", b"\xff", b'{"error": "x"}', b"[" * 100_000])
def test_an_error_in_other_words(raw: bytes) -> None:
    """Has the meaning of its status."""
    fault = API.fault(500, raw)
    assert (fault.reason, fault.code, fault.param, fault.callers) == (Reason.UPSTREAM_ERROR, None, None, None)


def limit(kind: str, remaining: str, reset: str) -> dict[str, str]:
    """The headers of one limit."""
    name = f"anthropic-ratelimit-{kind}"
    return {f"{name}-limit": "50", f"{name}-remaining": remaining, f"{name}-reset": reset}


LATER, SOON, PAST = "2026-11-25T12:00:30Z", "2026-11-25T12:00:05+00:00", "2026-11-25T11:59:00Z"
LIMITS: list[tuple[dict[str, str], float]] = [
    ({}, 0.0),
    (limit("requests", "1", LATER), 0.0),
    (limit("requests", "0", LATER), 30.0),
    (limit("tokens", "0", SOON), 5.0),
    (limit("input-tokens", "0", "2026-11-25T13:00:05+01:00"), 5.0),
    (limit("output-tokens", "0", "2026-11-25T12:00:05"), 5.0),
    (limit("requests", "0", SOON) | limit("tokens", "0", LATER), 30.0),
    (limit("requests", "0", SOON) | limit("tokens", "9", LATER), 5.0),
    (limit("requests", "0", PAST), 0.0),
    (limit("requests", "0", "soon"), 0.0),
    (limit("requests", "0", ""), 0.0),
]


@pytest.mark.parametrize(("headers", "seconds"), LIMITS, ids=str)
def test_a_limit_that_is_used_up_is_waited_for(headers: dict[str, str], seconds: float) -> None:
    """Until the last of those is renewed of which nothing remains; others are no reason to wait."""
    assert API.pause_s(headers, NOW) == seconds


def test_a_count() -> None:
    """Is a number of tokens."""
    assert decode_count(b'{"input_tokens": 14, "x": 1}') == 14
    for raw in (b"", b"{}", b'{"input_tokens": "many"}', b'{"input_tokens": -1}'):
        with pytest.raises(msgspec.DecodeError):
            decode_count(raw)
