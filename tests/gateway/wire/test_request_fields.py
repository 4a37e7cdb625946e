"""Every field that a caller may send arrives, and every other one is dropped by name or refused."""

from typing import Any

import msgspec
import pytest

from gateway.messages import (
    ChatRequest,
    FunctionCall,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    JsonSchema,
    Message,
    NamedFunction,
    NamedToolChoice,
    RefusalPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
)
from gateway.wire.fields import REPLACED_FIELDS, UNSAFE_FIELDS
from gateway.wire.openai_request import ChatBody
from tests.gateway.wire.bodies import parsed, refused

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "description": "d", "strict": False}

FIELDS: list[tuple[dict[str, Any], str, Any]] = [
    ({"model": "gpt-5"}, "requested_model", "gpt-5"),
    ({"max_tokens": 7}, "sampling.max_tokens", 7),
    ({"max_completion_tokens": 8}, "sampling.max_tokens", 8),
    ({"max_tokens": 7, "max_completion_tokens": 8}, "sampling.max_tokens", 8),
    ({"temperature": 0}, "sampling.temperature", 0.0),
    ({"temperature": 2}, "sampling.temperature", 2.0),
    ({"top_p": 0.5}, "sampling.top_p", 0.5),
    ({"n": 16}, "sampling.n", 16),
    ({"stop": "END"}, "sampling.stop", ("END",)),
    ({"stop": ["a", "b", "c", "d"]}, "sampling.stop", ("a", "b", "c", "d")),
    ({"stop": []}, "sampling.stop", ()),
    ({"seed": -(2**63)}, "sampling.seed", -(2**63)),
    ({"presence_penalty": -2}, "sampling.presence_penalty", -2.0),
    ({"frequency_penalty": 2}, "sampling.frequency_penalty", 2.0),
    ({"logit_bias": {"50256": -100, "1": 2.5}}, "sampling.logit_bias", {"50256": -100.0, "1": 2.5}),
    ({"logprobs": True}, "logprobs", True),
    ({"logprobs": True, "top_logprobs": 20}, "top_logprobs", 20),
    ({"response_format": {"type": "text"}}, "response_format", ResponseFormat("text")),
    ({"response_format": {"type": "json_object"}}, "response_format", ResponseFormat("json_object")),
    (
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        "response_format",
        ResponseFormat("json_schema", JsonSchema("s", {"type": "object"}, "d", strict=False)),
    ),
    ({"tools": [TOOL]}, "tools", (Tool(FunctionSpec("f", "d", {"type": "object"}, strict=True)),)),
    ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice", "required"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice",
        NamedToolChoice(NamedFunction("f")),
    ),
    ({"parallel_tool_calls": False}, "parallel_tool_calls", False),
    ({"reasoning_effort": "high"}, "reasoning_effort", "high"),
    ({"stream": True}, "stream", True),
    ({"stream": True, "stream_options": {"include_usage": True}}, "include_usage", True),
    ({"user": "u-1"}, "user", "u-1"),
    ({"metadata": {"task": "faq"}}, "hints.task", "faq"),
    ({"messages": [{"role": "user", "content": "x"}]}, "messages", (Message("user", "x"),)),
]
"""Body, where it arrives in a ChatRequest, and as what."""

MESSAGES: list[tuple[dict[str, Any], Message]] = [
    ({"role": "system", "content": "s"}, Message("system", "s")),
    ({"role": "developer", "content": "d", "name": "n"}, Message("developer", "d", name="n")),
    (
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:x"}}],
        },
        Message("user", (TextPart("a"), ImagePart(ImageUrl("data:x")))),
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/i", "detail": "low"}}]},
        Message("user", (ImagePart(ImageUrl("https://h/i", "low")),)),
    ),
    ({"role": "assistant", "content": None, "refusal": "no"}, Message("assistant", refusal="no")),
    (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        Message("assistant", (RefusalPart("no"),)),
    ),
    (
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        Message("assistant", tool_calls=(ToolCall("c", FunctionCall("f", "{}")),)),
    ),
    ({"role": "tool", "content": "r", "tool_call_id": "c"}, Message("tool", "r", tool_call_id="c")),
]

UNSET: list[tuple[str, Any]] = [
    ("sampling.temperature", None),
    ("sampling.max_tokens", None),
    ("sampling.n", 1),
    ("sampling.stop", ()),
    ("sampling.logit_bias", None),
    ("tools", ()),
    ("tool_choice", None),
    ("response_format", None),
    ("logprobs", False),
    ("top_logprobs", 0),
    ("stream", False),
    ("include_usage", False),
    ("user", None),
    ("ignored", ()),
    ("hints.local_only", False),
    ("hints.task", None),
]


def at(noun: object, path: str) -> Any:
    """The value at a dotted path."""
    for name in path.split("."):
        noun = getattr(noun, name)
    return noun


def timeless(request: ChatRequest) -> ChatRequest:
    """The same request, whenever it was made."""
    return msgspec.structs.replace(request, created=0)


@pytest.mark.parametrize(("fields", "path", "value"), FIELDS, ids=str)
def test_every_accepted_field_arrives(fields: dict[str, Any], path: str, value: Any) -> None:
    """What the API's reference lets callers send is what the corridor works with."""
    assert at(parsed(fields), path) == value


def test_the_table_above_has_every_accepted_field() -> None:
    """A field that is taken in and goes nowhere would show here."""
    assert {name for fields, _, _ in FIELDS for name in fields} == set(ChatBody.__struct_fields__)


@pytest.mark.parametrize("name", [name for name in ChatBody.__struct_fields__ if name not in ("model", "messages")])
def test_null_is_the_same_as_absent(name: str) -> None:
    """Clients send null for what was not set; the request is the one without the field."""
    assert timeless(parsed({name: None})) == timeless(parsed({}))


@pytest.mark.parametrize(("path", "value"), UNSET)
def test_what_is_not_asked_for_is_not_asked_for(path: str, value: Any) -> None:
    """A field that is absent leaves the choice to the backend, and adds no feature."""
    assert at(parsed({}), path) == value


@pytest.mark.parametrize(("message", "expected"), MESSAGES, ids=str)
def test_every_kind_of_turn_arrives(message: dict[str, Any], expected: Message) -> None:
    """Roles, parts, images, tool calls and their results are read as they were sent."""
    assert parsed({"messages": [message]}).messages == (expected,)


def test_a_request_has_its_id_and_time() -> None:
    """The id is the edge's, and the time of creation is a Unix second."""
    request = parsed({})
    assert request.id == "id-1"
    assert request.created > 1_700_000_000


@pytest.mark.parametrize("name", sorted(UNSAFE_FIELDS | {"guided_json", "guided_regex", "guided_", "guided_choice"}))
@pytest.mark.parametrize("value", [None, "x"])
def test_unsafe_fields_are_refused(name: str, value: str | None) -> None:
    """What redirects a call or reaches into an engine is a 400 that names it, whatever its value."""
    error = refused({name: value})
    assert (error.status, error.code, error.param) == (400, "unsafe_field", name)
    assert name in error.message


@pytest.mark.parametrize(("old", "new"), list(REPLACED_FIELDS))
def test_replaced_fields_are_refused_with_their_successor(old: str, new: str) -> None:
    """Dropping them would change the meaning in silence."""
    error = refused({old: []})
    assert (error.status, error.param) == (400, old)
    assert new in error.message


def test_unknown_fields_are_dropped_by_name() -> None:
    """They are no error, they go nowhere, and the caller is told which they were, each once and in order."""
    message = {"role": "user", "content": "hi", "cache_control": {}, "audio": 1}
    request = parsed({"zeta": 1, "store": True, "metadata": {"customer": "x"}, "messages": [message, message]})
    assert request.ignored == ("messages[].audio", "messages[].cache_control", "metadata.customer", "store", "zeta")
    plain = parsed({"messages": [{"role": "user", "content": "hi"}] * 2})
    assert msgspec.structs.replace(timeless(request), ignored=()) == timeless(plain)


@pytest.mark.parametrize("name", ["a\r\nset-cookie: b", "é", "a b", "\x00", "a" * 10_000, ",", '"', "\u2028"])
def test_names_of_dropped_fields_are_fit_for_a_header(name: str) -> None:
    """They go into `x-forebay-ignored`: a name with a line end in it must not become a header of its own."""
    (shown,) = parsed({name: 1}).ignored
    assert len(shown) <= 64
    assert shown.isascii()
    assert not set(shown) & set('\r\n\x00, "')


def test_of_many_dropped_fields_only_some_are_named() -> None:
    """A body of a million fields does not make a header of a million names."""
    ignored = parsed({f"field_{number:06}": 1 for number in range(10_000)}).ignored
    assert ignored[:2] == ("field_000000", "field_000001")
    assert len(ignored) == 21
    assert ignored[-1] == "and 9980 more"
