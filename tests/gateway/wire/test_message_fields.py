"""Every field of Anthropic's API that a caller may send arrives, and every other one is dropped by name or refused."""

import json
from typing import Any

import msgspec
import pytest

from gateway.blocks import (
    Base64Source,
    CacheControl,
    Conversation,
    ImageBlock,
    RedactedThinkingBlock,
    TextBlock,
    Thinking,
    ThinkingBlock,
    ToolParam,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    UrlSource,
)
from gateway.errors import Code
from gateway.messages import ChatRequest, JsonSchema, NamedFunction, NamedToolChoice, ResponseFormat
from gateway.wire.anthropic_request import CountBody, MessageBody, parse_count
from gateway.wire.fields import UNSAFE_FIELDS
from tests.gateway.wire.message_bodies import (
    CACHED,
    CALL,
    HIDDEN,
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

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
EPHEMERAL = CacheControl("ephemeral")

FIELDS: list[tuple[dict[str, Any], str, Any]] = [
    ({"model": "claude-sonnet-5-5"}, "requested_model", "claude-sonnet-5-5"),
    ({"max_tokens": 7}, "sampling.max_tokens", 7),
    ({"temperature": 1}, "sampling.temperature", 1.0),
    ({"top_p": 0.5}, "sampling.top_p", 0.5),
    ({"top_k": 40}, "sampling.top_k", 40),
    ({"top_k": 0}, "sampling.top_k", None),
    ({"stop_sequences": ["a", "b", "c", "d"]}, "sampling.stop", ("a", "b", "c", "d")),
    ({"stream": True}, "stream", True),
    ({"metadata": {"user_id": "u-1"}}, "user", "u-1"),
    ({"metadata": {"task": "faq", "local_only": True}}, "hints.task", "faq"),
    ({"system": "be brief"}, "conversation.system", "be brief"),
    ({"system": [CACHED]}, "conversation.system", (TextBlock("long", CacheControl("ephemeral", "1h")),)),
    ({"system": [{"text": "s"}]}, "conversation.system", (TextBlock("s"),)),
    ({"tools": [TOOL]}, "conversation.tools", (ToolParam("f", TOOL["input_schema"], "d"),)),  # type: ignore[arg-type]
    ({"tools": [{**TOOL, "type": "custom", "strict": True}]}, "tools[0].function.strict", True),
    ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, "tool_choice", "auto"),
    ({"tools": [TOOL], "tool_choice": {"type": "any"}}, "tool_choice", "required"),
    ({"tools": [TOOL], "tool_choice": {"type": "none"}}, "tool_choice", "none"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        "tool_choice",
        NamedToolChoice(NamedFunction("f")),
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        "parallel_tool_calls",
        False,
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": False}},
        "parallel_tool_calls",
        None,
    ),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "conversation.thinking", Thinking("enabled", 1024)),
    ({"thinking": {"type": "adaptive", "display": "omitted"}}, "conversation.thinking.display", "omitted"),
    ({"output_config": {"effort": "xhigh"}}, "conversation.effort", "xhigh"),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "response_format",
        ResponseFormat("json_schema", JsonSchema("answer", SCHEMA)),
    ),
    ({"cache_control": {"type": "ephemeral"}}, "conversation.cache_control", EPHEMERAL),
    ({"messages": [user(TEXT)]}, "conversation.messages", (Turn("user", (TextBlock("hi"),)),)),
]
"""Body, where it arrives in a ChatRequest, and as what."""

BLOCKS: list[tuple[list[dict[str, Any]], Any]] = [
    ([user(CACHED)], TextBlock("long", CacheControl("ephemeral", "1h"))),
    ([user(IMAGE)], ImageBlock(Base64Source("image/png", "aGk="))),
    ([user(LINKED)], ImageBlock(UrlSource("https://h/i.png"))),
    ([assistant(CALL), user(RESULT)], ToolUseBlock("toolu_1", "f", {"q": "x"})),
    ([assistant(THOUGHT, TEXT), user(TEXT)], ThinkingBlock("hm", "sig")),
    ([assistant(HIDDEN, TEXT), user(TEXT)], RedactedThinkingBlock("xyz")),
    ([{"role": "system", "content": [TEXT]}, user(TEXT)], TextBlock("hi")),
]
"""Turns, and what the first block of the first one becomes."""

RESULTS: list[tuple[dict[str, Any], ToolResultBlock]] = [
    (RESULT, ToolResultBlock("toolu_1", "four")),
    ({**RESULT, "is_error": True}, ToolResultBlock("toolu_1", "four", is_error=True)),
    ({"type": "tool_result", "tool_use_id": "toolu_1"}, ToolResultBlock("toolu_1")),
    (
        {**RESULT, "content": [TEXT, IMAGE], "cache_control": {"type": "ephemeral"}},
        ToolResultBlock(
            "toolu_1", (TextBlock("hi"), ImageBlock(Base64Source("image/png", "aGk="))), cache_control=EPHEMERAL
        ),
    ),
]


def at(noun: object, path: str) -> Any:
    """The value at a dotted path."""
    for name in path.replace("[0]", ".0").split("."):
        noun = noun[0] if name == "0" else getattr(noun, name)  # type: ignore[index]
    return noun


def talk_of(request: ChatRequest) -> Conversation:
    """What was said in the words of the API."""
    assert request.conversation is not None
    return request.conversation


def timeless(request: ChatRequest) -> ChatRequest:
    """The same request, whenever it was made."""
    return msgspec.structs.replace(request, created=0)


@pytest.mark.parametrize(("fields", "path", "value"), FIELDS, ids=str)
def test_every_accepted_field_arrives(fields: dict[str, Any], path: str, value: Any) -> None:
    """What the API's reference lets callers send is what the corridor works with."""
    assert at(parsed(fields), path) == value


def test_the_table_above_has_every_accepted_field() -> None:
    """A field that is taken in and goes nowhere would show here."""
    assert {name for fields, _, _ in FIELDS for name in fields} == set(MessageBody.__struct_fields__)


@pytest.mark.parametrize(("turns", "block"), BLOCKS, ids=str)
def test_every_kind_of_block_is_kept(turns: list[dict[str, Any]], block: Any) -> None:
    """Thoughts with their signatures, cache marks and images stay as they came."""
    assert talk_of(parsed({"messages": turns})).messages[0].content[0] == block


@pytest.mark.parametrize(("result", "block"), RESULTS, ids=str)
def test_every_kind_of_result_is_kept(result: dict[str, Any], block: ToolResultBlock) -> None:
    """Text, images, nothing at all, and that the tool failed."""
    assert talk_of(parsed({"messages": [assistant(CALL), user(result)]})).messages[1].content == (block,)


NULLS = [name for name in MessageBody.__struct_fields__ if name not in ("model", "messages", "max_tokens")]


@pytest.mark.parametrize("name", NULLS)
def test_null_is_the_same_as_absent(name: str) -> None:
    """Clients send null for what was not set; the request is the one without the field."""
    assert timeless(parsed({name: None})) == timeless(parsed({}))


def test_what_is_not_asked_for_is_not_asked_for() -> None:
    """A field that is absent leaves the choice to the backend, and adds no feature."""
    request = parsed({})
    assert request.sampling == msgspec.structs.replace(parsed({"max_tokens": 2000}).sampling)
    assert (request.tools, request.tool_choice, request.response_format, request.user) == ((), None, None, None)
    assert (request.stream, request.logprobs, request.ignored, request.reasoning_effort) == (False, False, (), None)
    assert talk_of(request) == Conversation(messages=(Turn("user", "hi"),))


@pytest.mark.parametrize("name", sorted(UNSAFE_FIELDS | {"guided_json"}))
def test_unsafe_fields_are_refused(name: str) -> None:
    """What redirects a call or reaches into an engine is a 400 that names it, as in the other API."""
    error = refused({name: "x"})
    assert (error.status, error.code, error.param) == (400, Code.UNSAFE_FIELD, name)


def test_unknown_fields_are_dropped_by_name() -> None:
    """Of bodies, turns, blocks, tools and metadata; they are no error, go nowhere, and the caller is told."""
    fields = {
        "service_tier": "auto",
        "metadata": {"mine": 1},
        "system": [{**TEXT, "citations": []}],
        "tools": [{**TOOL, "defer_loading": True}],
        "messages": [
            {**assistant({**CALL, "caller": {"type": "direct"}}), "id": "m"},
            user(
                {**RESULT, "content": [{**TEXT, "x": 1}]}, {**TEXT, "cache_control": {"type": "ephemeral", "scope": 1}}
            ),
        ],
    }
    request = parsed(fields)
    assert request.ignored == (
        "messages[].content[].cache_control.scope",
        "messages[].content[].caller",
        "messages[].content[].content[].x",
        "messages[].id",
        "metadata.mine",
        "service_tier",
        "system[].citations",
        "tools[].defer_loading",
    )
    assert b"service_tier" not in msgspec.json.encode(request.conversation)


def test_what_an_answer_brought_is_handed_back_without_remark() -> None:
    """Clients send back blocks as they got them, with fields that are null."""
    turns = [assistant({**TEXT, "citations": None}, {**CALL, "caller": None}), user(RESULT)]
    assert parsed({"messages": turns}).ignored == ()


def test_hints_come_by_headers_too() -> None:
    """A header wins over metadata of the same name."""
    request = parsed({"metadata": {"task": "faq"}}, {"task": "summary", "local-only": "true"})
    assert (request.hints.task, request.hints.local_only) == ("summary", True)
    error = refused({}, {"local-only": "ja"})
    assert error.param == "x-forebay-local-only"


def test_a_count_takes_what_a_prompt_is_made_of() -> None:
    """No max_tokens is needed, and what concerns the answer only is no error."""
    only_prompt = {"model": "auto", "system": "s", "messages": [user(TEXT)], "tools": [TOOL]}
    request = parse_count(json.dumps(only_prompt).encode(), {"task": "faq"}, "id-1")
    assert (request.id, request.hints.task, request.sampling.max_tokens, len(request.tools)) == ("id-1", "faq", None, 1)
    whole = parse_count(body({"stream": True, "temperature": 0.5, "store": 1}), {}, "id-1")
    assert (whole.stream, whole.ignored) == (False, ("store",))
    assert set(CountBody.__struct_fields__) < set(MessageBody.__struct_fields__)
    assert PLAIN["max_tokens"] == 2000
