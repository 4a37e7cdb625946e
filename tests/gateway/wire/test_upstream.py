"""The API as backends speak it: what is sent to them, and what of their answers is read."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.messages import (
    ChatRequest,
    Choice,
    Completion,
    FunctionCall,
    Message,
    Sampling,
    TokenLogprob,
    ToolCall,
    TopLogprob,
    Usage,
    UsageQuality,
)
from gateway.wire.openai_upstream import (
    decode_chunk,
    decode_completion,
    developer_as_system,
    request_body,
)
from tests.gateway.wire.bodies import parsed
from tests.gateway.wire.request_fields import FIELDS, MESSAGES

NOT_SENT_AS_ASKED = {"model", "stream", "stream_options", "logprobs", "top_logprobs", "metadata"}


def sent(request: ChatRequest, *, stream: bool = False, top_logprobs: int | None = None) -> dict[str, Any]:
    """The body of one attempt, as it goes over the line."""
    body = request_body(request, "their-name", stream=stream, top_logprobs=top_logprobs)
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(body))
    return decoded


def completion(**fields: object) -> bytes:
    """An answer with one choice, as a backend writes it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return json.dumps({"model": "m", "choices": [choice], **fields}).encode()


def with_choice(**fields: object) -> bytes:
    """An answer whose choice has these fields."""
    return completion(choices=[{"message": {"content": "hi"}, "finish_reason": "stop", **fields}])


def test_the_least_request_sends_the_least() -> None:
    """A field that the caller did not set is not sent: the backend's own default must hold."""
    assert sent(parsed({})) == {"model": "their-name", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(("fields", "_path", "_value"), FIELDS, ids=str)
def test_what_the_caller_set_is_sent(fields: dict[str, Any], _path: str, _value: object) -> None:
    """Every accepted field reaches the backend with its value, under its current name, and with no other."""
    if "max_completion_tokens" in fields:
        fields = {"max_tokens": fields["max_completion_tokens"]}
    if isinstance(fields.get("stop"), str):
        fields = {"stop": [fields["stop"]]}
    body = sent(parsed(fields))
    plain = sent(parsed({}))
    wanted = {name: value for name, value in fields.items() if name not in NOT_SENT_AS_ASKED and value != []}
    assert body == plain | wanted


@pytest.mark.parametrize("message", [message for message, _ in MESSAGES], ids=str)
def test_turns_are_sent_as_they_came(message: dict[str, Any]) -> None:
    """Reading a turn and writing it again changes nothing but nulls."""
    assert sent(parsed({"messages": [message]}))["messages"] == [
        {name: value for name, value in message.items() if value is not None}
    ]


@given(st.lists(st.sampled_from([fields for fields, _, _ in FIELDS]), max_size=6))
@settings(max_examples=60, deadline=None)
def test_reading_what_was_sent_gives_the_same_request(chosen: list[dict[str, Any]]) -> None:
    """A backend that reads with our eyes sees what the caller asked, whatever the mixture."""
    fields: dict[str, Any] = {}
    for each in chosen:
        fields |= each
    fields.setdefault("tools", [{"type": "function", "function": {"name": "f"}}])
    fields["logprobs"] = True
    request = parsed(fields)
    body = sent(request, stream=request.stream, top_logprobs=request.top_logprobs)
    again = parsed(body)
    same = ("messages", "sampling", "tools", "tool_choice", "response_format", "user", "stream", "top_logprobs")
    assert {name: getattr(request, name) for name in same} == {name: getattr(again, name) for name in same}


def test_hints_and_dropped_fields_are_never_sent() -> None:
    """They were for us."""
    hints = {"task": "faq", "region": "eu", "session": "s", "local_only": "true", "customer": "c"}
    assert sent(parsed({"metadata": hints, "store": True})) == sent(parsed({}))


@pytest.mark.parametrize(
    ("top", "expected"),
    [(None, {}), (0, {"logprobs": True, "top_logprobs": 0}), (5, {"logprobs": True, "top_logprobs": 5})],
)
@pytest.mark.parametrize("asked", [{}, {"logprobs": True, "top_logprobs": 3}])
def test_logprobs_are_asked_for_by_the_attempt(
    top: int | None, expected: dict[str, Any], asked: dict[str, Any]
) -> None:
    """What the gateway needs to see decides, not only what the caller wants to see."""
    body = sent(parsed(asked), top_logprobs=top)
    assert {name: body[name] for name in ("logprobs", "top_logprobs") if name in body} == expected


def test_a_stream_always_asks_for_its_usage() -> None:
    """Without it a stream could only be charged by guessing."""
    body = sent(parsed({"stream": True}), stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert "stream" not in sent(parsed({"stream": True}), stream=False)


def test_developer_turns_become_system_turns() -> None:
    """For models whose templates know no developer; a conversation without one is the same object."""
    turns = (Message("developer", "d", name="n"), Message("user", "u"))
    assert developer_as_system(turns) == (Message("system", "d", name="n"), Message("user", "u"))
    assert developer_as_system(turns[1:]) is not None
    plain = (Message("user", "u"),)
    assert developer_as_system(plain) is plain


def test_an_answer_is_read_whole() -> None:
    """Model, text, reasoning, tool calls, logprobs, usage with its details, fingerprint."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    token = {"token": "hi", "logprob": -0.5, "bytes": [104], "top_logprobs": [{"token": "ho", "logprob": -0.1}]}
    choice = {
        "index": 1,
        "finish_reason": "tool_calls",
        "logprobs": {"content": [token], "refusal": None},
        "message": {"role": "assistant", "content": "hi", "reasoning_content": "hm", "tool_calls": [call]},
    }
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    raw = json.dumps({"id": "x", "model": "m-1", "choices": [choice], "usage": usage, "system_fingerprint": "fp"})
    assert decode_completion(raw.encode()) == Completion(
        model="m-1",
        choices=(
            Choice(
                index=1,
                text="hi",
                reasoning="hm",
                tool_calls=(ToolCall("c", FunctionCall("f", '{"a":1}')),),
                finish_reason="tool_calls",
                logprobs=(TokenLogprob("hi", -0.5, msgspec.Raw(b"[104]"), (TopLogprob("ho", -0.1),)),),
            ),
        ),
        usage=Usage(9, 8, 4, 5, UsageQuality.EXACT),
        fingerprint="fp",
    )


@pytest.mark.parametrize(
    ("message", "text", "refusal", "reasoning"),
    [
        ({"content": "a"}, "a", None, None),
        ({"content": ""}, "", None, None),
        ({"content": None}, None, None, None),
        ({}, None, None, None),
        ({"content": None, "refusal": "no"}, None, "no", None),
        ({"content": "a", "reasoning": "r"}, "a", None, "r"),
        ({"content": "a", "reasoning_content": "r", "reasoning": None}, "a", None, "r"),
        ({"content": "a", "tool_calls": None, "audio": {"x": 1}}, "a", None, None),
    ],
)
def test_messages_of_every_kind_of_server_are_read(
    message: dict[str, Any], text: str | None, refusal: str | None, reasoning: str | None
) -> None:
    """Absent, null and empty are three things; both names of reasoning are known; what is unknown does not matter."""
    (choice,) = decode_completion(with_choice(message=message)).choices
    assert (choice.text, choice.refusal, choice.reasoning) == (text, refusal, reasoning)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ({}, Usage(quality=UsageQuality.EXACT)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(quality=UsageQuality.EXACT)),
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, 4, quality=UsageQuality.EXACT)),
        (
            {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None},
            Usage(3, 4, quality=UsageQuality.EXACT),
        ),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": {}},
            Usage(3, 0, quality=UsageQuality.EXACT),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}},
            Usage(3, 4, 0, 2, UsageQuality.EXACT),
        ),
    ],
)
def test_no_usage_is_unknown_and_zero_is_a_number(usage: dict[str, Any] | None, expected: Usage) -> None:
    """Nothing counted is not the same as counted nothing."""
    assert decode_completion(completion(usage=usage)).usage == expected
    raw = json.dumps({"choices": [], "usage": usage}).encode()
    assert (decode_chunk(raw).usage is None) == (usage is None)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1},
        {"completion_tokens": -5},
        {"prompt_tokens": 10**30},
        {"completion_tokens": 2**63},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}},
        {"completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 10**12}},
        {"prompt_tokens": "12"},
    ],
)
def test_counts_that_cannot_be_are_no_answer(usage: dict[str, Any]) -> None:
    """A negative count would pay back money, and one beyond 64 bits would stop the ledger."""
    with pytest.raises(msgspec.DecodeError):
        decode_completion(completion(usage=usage))
    with pytest.raises(msgspec.DecodeError):
        decode_chunk(json.dumps({"choices": [], "usage": usage}).encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b"{}",
        b'{"choices": null}',
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"error": {"message": "no"}}',
        b'{"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": "\xff"}, "finish_reason": "stop"}]}',
        with_choice(logprobs={"content": [{"token": "a"}]}),
        with_choice(finish_reason=None),
        completion()[:-1],
        completion().replace(b'"index": 0', b'"index": NaN'),
    ],
)
def test_what_is_no_answer_raises(raw: bytes) -> None:
    """Garbage, an error with status 200, half a body, and an answer that does not say why it ended."""
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError, ValueError)):
        decode_completion(raw)


def test_sampling_writes_only_what_was_set() -> None:
    """Defaults are left out, zeros are not."""
    assert sent(msgspec.structs.replace(parsed({}), sampling=Sampling(temperature=0.0, seed=0)))["temperature"] == 0.0
    assert sent(msgspec.structs.replace(parsed({}), sampling=Sampling(seed=0)))["seed"] == 0


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({}, None),
        ({"stop_reason": None}, None),
        ({"stop_reason": "END"}, "END"),
        ({"stop_reason": 128009}, None),
        ({"stop_reason": {"odd": []}}, None),
    ],
)
def test_a_stop_string_is_read_where_it_is_told(told: dict[str, Any], read: str | None) -> None:
    """vLLM names the stop string that ended an answer, or a token's number, which is nobody's stop string."""
    assert decode_completion(with_choice(**told)).choices[0].stop_sequence == read
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", **told}]}
    (delta,) = decode_chunk(json.dumps(chunk).encode()).deltas()
    assert delta.stop_sequence == read
