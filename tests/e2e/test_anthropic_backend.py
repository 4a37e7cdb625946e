"""A provider of Anthropic's API behind the gateway, played by one that takes only what the official client sends."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import SECRETS
from tests.e2e.stack import Stack
from tests.faults.behaviours import Call, Says, Status, Tool
from tests.faults.handle import FaultServer

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def the_call(strict: FaultServer) -> Call:
    """The one call there was, and a good one."""
    (call,) = strict.settled()
    assert call.problem is None
    return call


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_costs_what_the_provider_bills(apis: Stack, strict: FaultServer, *, stream: bool) -> None:
    """Tokens read from its cache included; headers, body, ledger and invoice agree to the nano-dollar."""
    strict.next("claude", Says(text="All is well.", prompt_tokens=1000, cached_tokens=900, reasoning="Let me see."))
    if stream:
        told = Told.streamed(apis.events("claude", max_tokens=50, stream_options={"include_usage": True}))
    else:
        told = Told.whole(apis.chat("claude", max_tokens=50))
    call = the_call(strict)
    row = agree(told, apis.books, told.headers["x-request-id"], [call])
    assert (row["prompt_tokens"], row["cached_tokens"], row["usage_quality"]) == (1000, 900, "exact")
    assert told.model == "claude"
    assert (call.path, call.headers["x-api-key"]) == ("/v1/messages", SECRETS["BIG_KEY"])
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in call.headers
    assert SECRETS["BIG_KEY"] not in "\n".join(apis.out.all() + apis.err.all())


@pytest.mark.parametrize("stream", [False, True])
def test_an_openai_conversation_with_tools_goes_there_and_back(
    apis: Stack, strict: FaultServer, *, stream: bool
) -> None:
    """Results of several calls are one turn there, and its calls are tool_calls here."""
    calls = (Tool("weather", '{"city": "Paris"}'), Tool("weather", '{"city": "Rome"}'))
    strict.next("claude", Says(tools=calls))
    earlier = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "weather", "arguments": f'{{"city": "{city}"}}'}}
        for n, city in enumerate(("Oslo", "Bern"))
    ]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Celsius only."},
        {"role": "user", "content": "The weather in Oslo and Bern?"},
        {"role": "assistant", "content": None, "tool_calls": earlier},
        {"role": "tool", "tool_call_id": "call_0", "content": "4 degrees"},
        {"role": "tool", "tool_call_id": "call_1", "content": "9 degrees"},
        {"role": "user", "content": "And in Paris and Rome?"},
    ]
    asked: dict[str, Any] = {"messages": messages, "tools": [WEATHER], "tool_choice": "required"}
    if stream:
        read = apis.events("claude", **asked)
        assert read.finish_reason == "tool_calls"
        pieces = [
            piece
            for event in read.events
            for choice in event["choices"]
            for piece in choice["delta"].get("tool_calls", ())
        ]
        found = [
            "".join(piece["function"].get("arguments") or "" for piece in pieces if piece["index"] == n) for n in (0, 1)
        ]
    else:
        choice = apis.chat("claude", **asked).json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        found = [call["function"]["arguments"] for call in choice["message"]["tool_calls"]]
    assert [each.replace(" ", "") for each in found] == ['{"city":"Paris"}', '{"city":"Rome"}']
    body = json.loads(the_call(strict).body)
    assert [block["text"] for block in body["system"]] == ["Be brief.", "Celsius only."]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "tool_result", "text"]
    assert body["tool_choice"] == {"type": "any"}
    assert body["max_tokens"] > 0


def test_thinking_survives_the_way_through(apis: Stack, strict: FaultServer) -> None:
    """What came with a signature is handed back with it, byte by byte, to the provider that signed it."""
    strict.next("claude", Says(text="Four.", reasoning="Two and two."))
    with apis.anthropic() as client:
        asked: dict[str, Any] = {
            "model": "claude",
            "max_tokens": 4000,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
        }
        first = client.messages.create(**asked, messages=[{"role": "user", "content": "2+2?"}])
        strict.next("claude", Says(text="Five.", reasoning="Two and three."))
        turns: list[Any] = [
            {"role": "user", "content": "2+2?"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": "2+3?"},
        ]
        with client.messages.stream(**asked, messages=turns) as stream:
            second = stream.get_final_message()
    assert [block.type for block in first.content] == ["thinking", "text"]
    assert [block.to_dict() for block in second.content] == [
        {"type": "thinking", "thinking": "Two and three.", "signature": "signed-by-the-provider"},
        {"type": "text", "text": "Five."},
    ]
    calls = strict.settled()
    assert [call.problem for call in calls] == [None, None]
    body = json.loads(calls[1].body)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "Two and two.",
        "signature": "signed-by-the-provider",
    }


def test_tokens_are_counted_by_the_provider(apis: Stack, strict: FaultServer) -> None:
    """Of a request that would go there first; nobody else is asked, and nothing is billed."""
    with apis.anthropic() as client:
        counted = client.messages.count_tokens(
            model="claude", system="Be brief.", messages=[{"role": "user", "content": "one two three"}]
        )
    call = the_call(strict)
    assert call.path == "/v1/messages/count_tokens"
    assert call.bill is None
    assert counted.input_tokens == 9


def test_an_alias_leads_there(apis: Stack, strict: FaultServer) -> None:
    """Programs that name a model of Anthropic's are answered by whoever the operator says."""
    with apis.anthropic() as client:
        raw = client.messages.with_raw_response.create(
            model="claude-sonnet-5-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
    assert raw.headers["x-forebay-backend"] == "claude"
    assert raw.parse().model == "claude"
    assert the_call(strict).model == "claude"


FAILURES: list[tuple[Status, int, str, int]] = [
    (Status(status=400), 400, "request_refused", 1),
    (Status(status=400, message="prompt is too long: 9 tokens > 8"), 400, "context_length_exceeded", 1),
    (Status(status=401), 502, "upstream_error", 1),
    (Status(status=413), 400, "context_length_exceeded", 1),
    (Status(status=529, headers={"retry-after": "0"}), 502, "upstream_error", 2),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: str(each[0])[:60])
def test_what_its_errors_become(
    apis: Stack, strict: FaultServer, frail_claude: str, failure: tuple[Status, int, str, int], *, stream: bool
) -> None:
    """Status and code say what happened, in our own words, and nothing is charged."""
    does, status, code, calls = failure
    strict.always(frail_claude, does)
    answer = apis.chat(frail_claude, stream=stream)
    told = Told.whole(answer)
    assert (told.status, told.error and told.error["code"]) == (status, code)
    assert does.message not in answer.text
    row = agree(told, apis.books, told.headers["x-request-id"], strict.settled())
    assert (row["attempts"], row["cost_nano_usd"]) == (calls, 0)


@pytest.mark.parametrize("ends", ["close", "reset", "unfinished", "done_unfinished", "error"])
def test_a_stream_of_its_that_breaks_is_no_answer(
    apis: Stack, strict: FaultServer, frail_claude: str, ends: Any
) -> None:
    """The caller gets what was said, an error and no finish reason; what was generated is paid for."""
    strict.next(frail_claude, Says(text="one two three four", ends=ends, after=3))
    read = apis.events(frail_claude)
    told = Told.streamed(read)
    assert told.error is not None
    assert (told.error["code"], read.finish_reason, read.done) == ("upstream_interrupted", None, False)
    assert read.text.startswith("one two")
    row = agree(told, apis.books, told.headers["x-request-id"], strict.settled())
    assert row["cost_nano_usd"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_limit_that_is_used_up_is_waited_for(
    apis: Stack, strict: FaultServer, frail_claude: str, *, stream: bool
) -> None:
    """Its answer says that no further call is taken for a while: none is made to be refused, and callers hear it."""
    reset = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    limits = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": reset}
    strict.next(frail_claude, Says(headers=limits))
    if stream:
        assert apis.events(frail_claude).finish_reason == "stop"
    else:
        assert apis.chat(frail_claude).status_code == 200
    refused = apis.chat(frail_claude)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 10 <= int(refused.headers["retry-after"]) <= 30
    others = apis.chat(frail_claude, headers={"x-forebay-allow-fallback": "true"})
    assert (others.status_code, others.headers["x-forebay-reason"]) == (200, "rate_limit")
    assert len([call for call in strict.settled() if call.model == frail_claude]) == 1


def test_a_caller_who_leaves_ends_the_call(apis: Stack, strict: FaultServer) -> None:
    """At the provider too, which is paid for what it had counted and written by then."""
    strict.next("claude", Says(text="one two three four", prompt_tokens=1000, hold="for ever", hold_after=2))
    with apis.anthropic() as client:
        stream = client.messages.create(
            model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        next(event for event in stream if event.type == "content_block_delta")
        request_id = stream.response.headers["x-request-id"]
        stream.close()
    (call,) = strict.settled()
    assert call.end == "client_left"
    row = apis.books.request(request_id)
    assert (row["status"], row["prompt_tokens"]) == ("cancelled", 1000)
    assert call.bill is not None
    assert row["cost_nano_usd"] >= call.bill.cost_nano
