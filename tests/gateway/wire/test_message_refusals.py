"""What cannot be asked in Anthropic's API is a 400 that names the field in that API's words, and what it should be."""

import json
from typing import Any

import pytest

from gateway.errors import AnswerError, RequestError
from gateway.wire.anthropic_answer import error_body
from gateway.wire.anthropic_request import parse_count, parse_message
from tests.gateway.wire.message_bodies import (
    CALL,
    IMAGE,
    LINKED,
    PLAIN,
    RESULT,
    TEXT,
    THOUGHT,
    TOOL,
    assistant,
    body,
    parsed,
    refused,
    user,
)

FIRST = "messages.0.content.0"


def source(**fields: Any) -> dict[str, Any]:
    """An image with another source."""
    return {**IMAGE, "source": {**IMAGE["source"], **fields}}  # type: ignore[dict-item]


def turns(*messages: dict[str, Any]) -> dict[str, Any]:
    """A body's turns."""
    return {"messages": list(messages)}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "expected text"),
    ({"model": ""}, "model", "length >= 1"),
    ({"max_tokens": None}, "max_tokens", "whole number"),
    ({"max_tokens": 0}, "max_tokens", ">= 1"),
    ({"messages": []}, "messages", "length >= 1"),
    ({"messages": "hi"}, "messages", "expected a list"),
    (turns({"role": "developer", "content": "x"}), "messages.0.role", "'developer'"),
    (turns({"role": "user", "content": ""}), "messages.0.content", "needs content"),
    (turns(user()), "messages.0.content", "needs content"),
    (turns(user(7)), FIRST, "expected an object"),
    (turns(user({"text": "x"})), f"{FIRST}.type", "is required"),
    (turns(user({"type": "smell"})), f"{FIRST}.type", "'smell'"),
    (turns(user({"type": "text"})), f"{FIRST}.text", "is required"),
    (turns(user(TEXT, {"type": "document", "source": {}})), "messages.0.content.1", "send what they say as text"),
    (turns(user({"type": "search_result"})), FIRST, "send what they say as text"),
    (turns(assistant({"type": "server_tool_use"})), FIRST, "tools of the provider's"),
    (turns(user({"type": "web_search_tool_result"})), FIRST, "tools of the provider's"),
    (turns(user({"type": "image"})), f"{FIRST}.source", "is required"),
    (turns(user(TEXT, source(media_type="image/tiff"))), "messages.0.content.1.source.media_type", "'image/tiff'"),
    (turns(user(source(data="%%%"))), f"{FIRST}.source.data", "base64"),
    (turns(user({**LINKED, "source": {"type": "url", "url": "file:///etc/passwd"}})), f"{FIRST}.source.url", "https"),
    (turns(user({**IMAGE, "source": {"type": "file", "file_id": "f"}})), f"{FIRST}.source", "send the image itself"),
    (turns(user(CALL)), FIRST, "tool_use does not belong"),
    (turns(user(THOUGHT)), FIRST, "thinking does not belong"),
    (turns(assistant(RESULT), user(TEXT)), FIRST, "tool_result does not belong"),
    (turns({"role": "system", "content": [IMAGE]}, user(TEXT)), FIRST, "image does not belong"),
    (turns(user(RESULT)), f"{FIRST}.tool_use_id", "no tool_use before it"),
    (turns(assistant({**CALL, "input": "{}"}), user(RESULT)), f"{FIRST}.input", "expected an object"),
    (turns(assistant({"type": "thinking", "thinking": "x"}), user(TEXT)), f"{FIRST}.signature", "is required"),
    (
        turns(assistant(CALL), user({**RESULT, "content": [TEXT, {"type": "document"}]})),
        "messages.1.content.0.content.1",
        "send what they say as text",
    ),
    (
        turns(assistant(CALL), user({**RESULT, "content": [source(data="%")]})),
        "messages.1.content.0.content.0.source.data",
        "base64",
    ),
    (turns(user(TEXT), assistant(TEXT)), "messages.1.role", "must not be the assistant's"),
    ({"system": [IMAGE]}, "system.0.type", "'image'"),
    ({"system": 7}, "system", "expected text or a list"),
    ({"temperature": 1.1}, "temperature", "<= 1"),
    ({"temperature": "hot"}, "temperature", "a number"),
    ({"top_p": 0}, "top_p", "> 0"),
    ({"top_k": -1}, "top_k", ">= 0"),
    ({"stop_sequences": "END"}, "stop_sequences", "expected a list"),
    ({"stop_sequences": ["a"] * 5}, "stop_sequences", "length <= 4"),
    ({"stop_sequences": [""]}, "stop_sequences.0", "length >= 1"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"metadata": {"user_id": 7}}, "metadata.user_id", "text"),
    ({"metadata": {"user_id": "x" * 257}}, "metadata.user_id", "length <= 256"),
    ({"metadata": {"region": 7.5}}, "metadata.region", "text"),
    ({"tools": [{"name": "f"}]}, "tools.0.input_schema", "is required"),
    ({"tools": [{**TOOL, "name": "a b"}]}, "tools.0.name", "letters, digits"),
    ({"tools": [{**TOOL, "input_schema": {"type": "strange"}}]}, "tools.0.input_schema", "not a valid JSON Schema"),
    ({"tools": [TOOL, {"type": "web_search_20260318", "name": "web_search"}]}, "tools.1.type", "web_search_20260318"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0.type", "a tool of the provider's"),
    ({"tools": [TOOL] * 129}, "tools", "length <= 128"),
    ({"tool_choice": {"type": "any"}}, "tool_choice", "only where there are tools"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name", "'g' is not among tools"),
    ({"tools": [TOOL], "tool_choice": {"type": "required"}}, "tool_choice.type", "'required'"),
    ({"tool_choice": "auto"}, "tool_choice", "expected an object"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "is required"),
    ({"thinking": {"type": "adaptive", "budget_tokens": 2000}}, "thinking.budget_tokens", "belongs to it alone"),
    ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "thinking.budget_tokens", "1024 or more"),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.budget_tokens", "less than max_tokens"),
    ({"thinking": {"type": "hard"}}, "thinking.type", "'hard'"),
    ({"output_config": {"effort": "none"}}, "output_config.effort", "low|medium"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type", "'xml'"),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "strange"}}}},
        "output_config.format.schema",
        "not a valid JSON Schema",
    ),
    ({"cache_control": {"type": "for ever"}}, "cache_control.type", "'for ever'"),
    ({"container": "c"}, "container", "tools that the provider runs"),
    ({"compaction": {"type": "summarize"}}, "compaction", "ask for a summary"),
    ({"mcp_servers": [{}]}, "mcp_servers", "tools that the provider runs"),
    ({"inference_geo": "us"}, "inference_geo", "x-forebay-region"),
    ({"output_format": {}}, "output_format", "output_config.format"),
]


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED, ids=str)
def test_a_field_at_fault_is_named(fields: dict[str, Any], param: str, words: str) -> None:
    """The error's message begins with its path, in the form of that API; the status is 400."""
    error = refused(fields)
    assert error.status == 400
    told = json.loads(error_body(error, "r"))["error"]
    assert (told["type"], told["details"]) == ("invalid_request_error", {"error_code": "invalid_value", "param": param})
    assert told["message"].startswith(param)
    assert words in told["message"]
    assert f"{param}: {param}" not in told["message"]


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}, 7])
def test_a_conversation_that_the_server_should_keep_is_refused(thread: Any) -> None:
    """By the code at which the official client sends all of it; dropped, it would be answered without its past."""
    error = refused({"thread": thread})
    assert (error.status, error.code, error.param) == (400, "thread_unsupported_request", "thread")
    assert parsed({"thread": None}).conversation == parsed({}).conversation


@pytest.mark.parametrize("name", ["model", "messages", "max_tokens"])
def test_what_is_missing_is_named(name: str) -> None:
    """The three that every request needs."""
    fields = {key: value for key, value in PLAIN.items() if key != name}
    with pytest.raises(RequestError) as caught:
        parse_message(json.dumps(fields).encode(), {}, "r")
    assert (caught.value.param, caught.value.message) == (name, f"{name}: is required")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"model": "\xff"}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    """For messages and for counts."""
    for parse in (parse_message, parse_count):
        with pytest.raises(RequestError) as caught:
            parse(raw, {}, "r")
        assert (caught.value.status, caught.value.param) == (400, "body")


def test_a_count_is_refused_for_the_same_reasons() -> None:
    """All but those that lie in how the answer is to be."""
    for fields, param, _ in REFUSED:
        raw = json.loads(body(fields))
        name = next(iter(fields))
        if name in ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream"):
            parse_count(json.dumps({**raw, "max_tokens": 5, "stream": False}).encode(), {}, "r")
        elif param != "thinking.budget_tokens":
            with pytest.raises(AnswerError):
                parse_count(json.dumps(raw).encode(), {}, "r")
