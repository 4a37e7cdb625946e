"""Whatever JSON a caller sends, the answer is a request or a refusal that names a field. Nothing else comes out."""

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.messages import ChatRequest
from gateway.wire.openai_request import ChatBody, parse_chat
from gateway.wire.openai_upstream import request_body
from tests.gateway.wire.bodies import PLAIN

PLENTY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["user", "tool", "text", "image_url", "json_schema", "function", "required", "object", "$ref", "#"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from([*ChatBody.__struct_fields__, "guided_json", "functions", "store", "\r\n", ""])
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "refusal", "audio"])},
    optional={"text": SCALARS, "image_url": JSON, "refusal": SCALARS},
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "developer", "nobody"])},
    optional={
        "content": SCALARS | st.lists(PARTS, max_size=2),
        "tool_calls": JSON,
        "tool_call_id": SCALARS,
        "name": SCALARS,
        "x": JSON,
    },
)
SCHEMA_WORDS = st.sampled_from(
    ["type", "properties", "items", "$ref", "$defs", "enum", "pattern", "minimum", "allOf", "not", "$id", "$schema"]
)
SCHEMAS = st.recursive(
    st.sampled_from([True, False, "object", "string", "#", "#/$defs/a", "(", "a+", 1, -1, None, "http://h/s", "urn:x"]),
    lambda inner: st.dictionaries(SCHEMA_WORDS | st.just("a"), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=10,
)


def read(raw: bytes, hints: dict[str, str]) -> ChatRequest | RequestError:
    """What comes of a body; any other exception comes out and fails the test."""
    try:
        return parse_chat(raw, hints, "id-1")
    except RequestError as error:
        return error


def assert_told(error: RequestError) -> None:
    """A refusal the caller can act on."""
    assert error.status == 400
    assert error.param
    assert 0 < len(error.message) < 600
    assert "\n" not in error.message


def assert_sound(request: ChatRequest) -> None:
    """A request that the corridor can work with, and that can be sent on."""
    assert request.messages
    assert 1 <= request.sampling.n <= 16
    assert request.top_logprobs == 0 or request.logprobs
    assert all(name.isascii() and name.isprintable() for name in request.ignored)
    sent = msgspec.json.decode(msgspec.json.encode(request_body(request, "m", stream=True, top_logprobs=1)))
    assert set(sent) - {"model", "stream_options"} <= set(ChatBody.__struct_fields__)


def assert_read(raw: bytes, hints: dict[str, str]) -> None:
    """One of the two, and good for something."""
    found = read(raw, hints)
    if isinstance(found, RequestError):
        assert_told(found)
    else:
        assert_sound(found)


@PLENTY
@given(fields=st.dictionaries(NAMES, JSON, max_size=4), complete=st.booleans())
def test_any_fields(*, fields: dict[str, Any], complete: bool) -> None:
    """Known fields with any values, with or without what is required."""
    assert_read(json.dumps({**(PLAIN if complete else {}), **fields}).encode(), {})


@PLENTY
@given(st.lists(MESSAGES, max_size=3))
def test_any_messages(messages: list[dict[str, Any]]) -> None:
    """Turns that look almost right."""
    assert_read(json.dumps({"model": "auto", "messages": messages}).encode(), {})


@PLENTY
@given(schema=SCHEMAS, of_tool=st.booleans())
@example(schema={"$ref": "#"}, of_tool=True)
@example(schema={"$ref": "json-schema:///"}, of_tool=False)
@example(schema={"$id": "http://[", "$ref": "x"}, of_tool=True)
@example(schema={"pattern": "(a{1000}){1000}"}, of_tool=True)
def test_any_schema(*, schema: Any, of_tool: bool) -> None:
    """A schema is compiled by foreign code: whatever that does, the caller gets an answer."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    assert_read(json.dumps({**PLAIN, **({"tools": tools} if of_tool else {"response_format": wanted})}).encode(), {})


@PLENTY
@given(
    st.dictionaries(
        st.sampled_from(["task", "region", "session", "local-only", "requires-reasoning", "x", ""]),
        st.text(max_size=12),
    ),
    st.dictionaries(st.sampled_from(["task", "region", "local_only", "session", "other"]), JSON, max_size=3),
)
def test_any_hints(headers: dict[str, str], metadata: dict[str, Any]) -> None:
    """Headers and metadata of any content."""
    assert_read(json.dumps({**PLAIN, "metadata": metadata}).encode(), headers)


@PLENTY
@given(st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_any_bytes(raw: bytes) -> None:
    """Bodies that are hardly JSON."""
    assert_read(raw, {})


@PLENTY
@given(st.data())
def test_a_good_body_with_bytes_changed(data: st.DataObject) -> None:
    """One wrong byte anywhere in a request with everything in it."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    full = {**PLAIN, "tools": tools, "temperature": 1.5, "stop": ["a"], "metadata": {"task": "faq"}, "seed": 3}
    raw = bytearray(json.dumps(full).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert_read(bytes(raw), {})
