"""What cannot be asked is a 400 that names the field and says in plain words what it should be."""

from typing import Any

import pytest

from gateway.wire.json_schema import MAX_BYTES, MAX_DEPTH
from gateway.wire.openai_request import ChatBody
from tests.gateway.wire.bodies import body, parsed, refused, refused_bytes

PARTS = "messages[0].content[0]"
SCHEMA = "response_format.json_schema.schema"
USER = {"role": "user", "content": "x"}

VALUES: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "expected text, got null"),
    ({"model": 5}, "model", "expected text, got a whole number"),
    ({"model": ""}, "model", "length >= 1"),
    ({"model": "m" * 257}, "model", "length <= 256"),
    ({"messages": None}, "messages", "expected a list, got null"),
    ({"messages": "hi"}, "messages", "expected a list, got text"),
    ({"messages": []}, "messages", "length >= 1"),
    ({"messages": [5]}, "messages[0]", "expected an object"),
    ({"messages": [USER, {"content": "x"}]}, "messages[1].role", "is required"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'robot'"),
    ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role", "text"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "needs content"),
    ({"messages": [{"role": "system", "content": None}]}, "messages[0].content", "needs content"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "got a whole number"),
    ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content", "got an object"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, f"{PARTS}.type", "is required"),
    ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, f"{PARTS}.type", "'audio'"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, f"{PARTS}.text", "is required"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:x"}]}]},
        f"{PARTS}.image_url",
        "expected an object",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "max"}}]}
            ]
        },
        f"{PARTS}.image_url.detail",
        "'max'",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "tool_call_id"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}]},
        "messages[0].tool_calls[0].function.arguments",
        "expected text, got an object",
    ),
    ({"max_tokens": 0}, "max_tokens", ">= 1"),
    ({"max_tokens": -5}, "max_tokens", ">= 1"),
    ({"max_tokens": 10**30}, "max_tokens", "<= 10000000"),
    ({"max_tokens": 1.5}, "max_tokens", "whole number"),
    ({"max_tokens": "5"}, "max_tokens", "got text"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", ">= 1"),
    ({"temperature": -0.1}, "temperature", ">= 0"),
    ({"temperature": 2.1}, "temperature", "<= 2"),
    ({"temperature": "hot"}, "temperature", "expected a number"),
    ({"temperature": True}, "temperature", "got true or false"),
    ({"top_p": 0}, "top_p", "> 0"),
    ({"top_p": 1.01}, "top_p", "<= 1"),
    ({"n": 0}, "n", ">= 1"),
    ({"n": 17}, "n", "<= 16"),
    ({"n": True}, "n", "got true or false"),
    ({"stop": ""}, "stop", "length >= 1"),
    ({"stop": ["a", ""]}, "stop[1]", "length >= 1"),
    ({"stop": ["a"] * 5}, "stop", "length <= 4"),
    ({"stop": "x" * 257}, "stop", "length <= 256"),
    ({"stop": 5}, "stop", "got a whole number"),
    ({"seed": 2**63}, "seed", "<= 9223372036854775807"),
    ({"seed": 1.0}, "seed", "whole number"),
    ({"presence_penalty": 2.5}, "presence_penalty", "<= 2"),
    ({"frequency_penalty": -2.5}, "frequency_penalty", ">= -2"),
    ({"logit_bias": [1]}, "logit_bias", "expected an object"),
    ({"logit_bias": {"hello": 1}}, "logit_bias", "[0-9]"),
    ({"logit_bias": {"1": 101}}, "logit_bias", "<= 100"),
    ({"logprobs": 1}, "logprobs", "true or false"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "<= 20"),
    ({"logprobs": True, "top_logprobs": -1}, "top_logprobs", ">= 0"),
    ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
    ({"logprobs": False, "top_logprobs": 2}, "top_logprobs", "needs logprobs"),
    ({"response_format": "json"}, "response_format", "expected an object"),
    ({"response_format": {}}, "response_format.type", "is required"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "'xml'"),
    ({"response_format": {"type": "json_schema"}}, SCHEMA, "is required"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "s"}}}, SCHEMA, "is required"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
        "is required",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": []}}},
        SCHEMA,
        "expected an object",
    ),
    ({"tools": {}}, "tools", "expected a list"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "is required"),
    ({"tools": [{"type": "web_search", "function": {"name": "f"}}]}, "tools[0].type", "'web_search'"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "is required"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}] * 129}, "tools", "length <= 128"),
    ({"tool_choice": "required"}, "tool_choice", "needs tools"),
    ({"tool_choice": "always"}, "tool_choice", "'always'"),
    ({"tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice", "'g'"),
    (
        {"tool_choice": {"function": {"name": "g"}}, "tools": [{"type": "function", "function": {"name": "f"}}]},
        "tool_choice",
        "not among tools",
    ),
    ({"parallel_tool_calls": "yes"}, "parallel_tool_calls", "true or false"),
    ({"reasoning_effort": "HIGH"}, "reasoning_effort", "[a-z]"),
    ({"reasoning_effort": 3}, "reasoning_effort", "expected text"),
    ({"stream": "true"}, "stream", "true or false"),
    ({"stream_options": True}, "stream_options", "expected an object"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "true or false"),
    ({"user": "u" * 257}, "user", "length <= 256"),
    ({"metadata": []}, "metadata", "expected an object"),
]
"""Body, the `param` of the refusal, and words that must stand in it."""

BODIES: list[tuple[bytes, str, str, str]] = [
    (b"", "invalid_json", "body", "is empty"),
    (b" \n", "invalid_json", "body", "is empty"),
    (b"[]", "invalid_json", "body", "must be a JSON object"),
    (b"null", "invalid_json", "body", "must be a JSON object"),
    (b'"x"', "invalid_json", "body", "must be a JSON object"),
    (b"{", "invalid_json", "body", "not valid JSON"),
    (b"model=auto", "invalid_json", "body", "not valid JSON"),
    (b"\xef\xbb\xbf{}", "invalid_json", "body", "not valid JSON"),
    (body({}) + b"}", "invalid_json", "body", "not valid JSON"),
    (b'{"model": "\xff"}', "invalid_json", "body", "UTF-8"),
    (b"\xff\xfe{\x00}\x00", "invalid_json", "body", "UTF-8"),
    (b'{"model": "\\ud800"}', "invalid_json", "body", "not valid JSON"),
    (b"[" * 100_000, "invalid_json", "body", "too deeply"),
    (b'{"a":' * 100_000, "invalid_json", "body", "too deeply"),
    (b'{"temperature": NaN}', "invalid_json", "body", "not valid JSON"),
    (b'{"temperature": Infinity}', "invalid_json", "body", "not valid JSON"),
    (body({})[:-1] + b', "temperature": 1e999}', "invalid_value", "temperature", "out of range"),
    (body({})[:-1] + b', "logit_bias": {"1": -1e999}}', "invalid_value", "logit_bias", "out of range"),
    (body({})[:-1] + b', "whatever": 1e999}', "invalid_value", "body", "out of range"),
    (b"{}", "invalid_value", "model", "is required"),
    (b'{"model": "auto"}', "invalid_value", "messages", "is required"),
]
"""Raw body, code, param, and words that must stand in the refusal."""


@pytest.mark.parametrize(("fields", "param", "words"), VALUES, ids=lambda value: str(value)[:60])
def test_a_bad_value_is_refused_where_it_stands(fields: dict[str, Any], param: str, words: str) -> None:
    """Status 400, the path of the field at fault, and what it should have been."""
    error = refused(fields)
    assert (error.status, error.code, error.param) == (400, "invalid_value", param)
    assert words in error.message


def test_every_field_has_a_value_that_is_refused() -> None:
    """No field of the API is taken as it comes."""
    assert {param.partition("[")[0].partition(".")[0] for _, param, _ in VALUES} == set(ChatBody.__struct_fields__)


@pytest.mark.parametrize("fields", [fields for fields, _, _ in VALUES], ids=lambda value: str(value)[:60])
def test_refusals_speak_of_the_api_and_not_of_its_implementation(fields: dict[str, Any]) -> None:
    """No type names, paths or brackets of the parser's own: who reads it has another language."""
    message = refused(fields).message
    assert "`" not in message
    assert "$" not in message.replace("$'", "")  # the end of a pattern


@pytest.mark.parametrize(("raw", "code", "param", "words"), BODIES, ids=lambda value: str(value)[:30])
def test_a_body_that_is_no_request_is_refused(raw: bytes, code: str, param: str, words: str) -> None:
    """Whatever its bytes are: a 400 that says what is wrong with them."""
    error = refused_bytes(raw)
    assert (error.status, error.code, error.param) == (400, code, param)
    assert words in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "r" * 100_000, "content": "x"}]},
        {"tool_choice": {"type": "function", "function": {"name": "t" * 100_000}}},
        {"tool_choice": "c" * 100_000},
        {"guided_" + "g" * 100_000: 1},
        {"messages": [{"role": "user", "content": [{"type": "p" * 100_000}]}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "s" * 60_000}}}},
    ],
    ids=lambda fields: next(iter(fields))[:20],
)
def test_a_refusal_is_short_however_long_the_value_was(fields: dict[str, Any]) -> None:
    """A caller's own text is not sent back by the megabyte."""
    error = refused(fields)
    assert len(error.message) < 500
    assert len(error.param or "") < 100


def nested(levels: int) -> dict[str, Any]:
    """A schema whose innermost object stands this many levels deep."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels // 2):
        schema = {"properties": {"a": schema}}
    return schema


def with_schema(schema: object) -> dict[str, Any]:
    """The fields that ask for an answer of `schema`."""
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}


def with_tool(parameters: object) -> dict[str, Any]:
    """The fields that offer a second tool which takes `parameters`."""
    tools = [{"type": "function", "function": {"name": "e"}}]
    return {"tools": [*tools, {"type": "function", "function": {"name": "f", "parameters": parameters}}]}


SCHEMAS: list[tuple[object, str]] = [
    ({"type": "strange"}, "not a valid JSON Schema"),
    ({"minimum": "x"}, "not a valid JSON Schema"),
    ({"pattern": "("}, "not a valid JSON Schema"),
    ({"$ref": "https://example.com/schema.json"}, "not a valid JSON Schema"),
    ({"$ref": "file:///etc/passwd"}, "not a valid JSON Schema"),
    ({"$ref": "#/$defs/absent"}, "not a valid JSON Schema"),
    (nested(MAX_DEPTH + 2), f"deeper than {MAX_DEPTH} levels"),
    (nested(900), f"deeper than {MAX_DEPTH} levels"),
    ({"description": "x" * MAX_BYTES}, f"larger than {MAX_BYTES} bytes"),
]


@pytest.mark.parametrize(("schema", "words"), SCHEMAS, ids=lambda value: str(value)[:40])
def test_schemas_are_bounded_and_valid(schema: object, words: str) -> None:
    """Of an answer and of a tool alike: not too large, not too deep, a JSON Schema, and whole in itself."""
    for fields, param in ((with_schema(schema), SCHEMA), (with_tool(schema), "tools[1].function.parameters")):
        error = refused(fields)
        assert (error.status, error.code, error.param) == (400, "invalid_value", param)
        assert words in error.message


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}},
        {"pattern": "^(a+)+$"},
        {"description": "x" * (MAX_BYTES - 100)},
        nested(MAX_DEPTH - 4),
    ],
    ids=lambda value: str(value)[:40],
)
def test_ordinary_schemas_are_taken(schema: dict[str, Any]) -> None:
    """What stands within the bounds arrives unchanged."""
    wanted = parsed(with_schema(schema)).response_format
    assert wanted is not None
    assert wanted.json_schema is not None
    assert wanted.json_schema.schema == schema
    assert parsed(with_tool(schema)).tools[1].function.parameters == schema
