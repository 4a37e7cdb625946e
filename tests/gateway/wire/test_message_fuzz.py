"""Whatever JSON a caller of Anthropic's API sends, the answer is a request or a refusal that names a field."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.messages import ChatRequest
from gateway.wire.anthropic_answer import error_body
from gateway.wire.anthropic_body import message_body
from gateway.wire.anthropic_request import MessageBody, parse_count, parse_message
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
)

PLENTY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GOOD = (TEXT, CACHED, IMAGE, LINKED, CALL, RESULT, THOUGHT, HIDDEN)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["user", "text", "tool_use", "enabled", "json_schema", "any", "custom", "document", "ephemeral"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from([*MessageBody.__struct_fields__, "container", "output_format", "store", "\r\n", ""])
BLOCKS = st.sampled_from(GOOD) | st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "tool_use", "tool_result", "thinking", "document", "x"])},
    optional={
        "text": SCALARS,
        "source": JSON,
        "content": JSON | st.lists(st.sampled_from(GOOD), max_size=2),
        "input": JSON,
        "id": SCALARS,
        "cache_control": JSON,
    },
)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "nobody"])},
    optional={"content": SCALARS | st.lists(BLOCKS, max_size=3), "x": JSON},
)


def read(raw: bytes, *, count: bool) -> ChatRequest | RequestError:
    """What comes of a body; any other exception comes out and fails the test."""
    try:
        return (parse_count if count else parse_message)(raw, {}, "id-1")
    except RequestError as error:
        return error


def assert_read(raw: bytes) -> None:
    """Of a body comes a request that can be sent on, or a refusal that the caller can act on."""
    for count in (False, True):
        found = read(raw, count=count)
        if isinstance(found, RequestError):
            assert found.status == 400
            assert found.param
            assert 0 < len(found.message) < 600
            assert "\n" not in found.message
            assert json.loads(error_body(found, "r"))["error"]["message"]
        else:
            assert found.messages
            assert all(name.isascii() and name.isprintable() for name in found.ignored)
            assert message_body(found, "m", 100, stream=True)["messages"]


@PLENTY
@given(fields=st.dictionaries(NAMES, JSON, max_size=4), complete=st.booleans())
def test_any_fields(*, fields: dict[str, Any], complete: bool) -> None:
    """Known fields with any values, with or without what is required."""
    assert_read(json.dumps({**(PLAIN if complete else {}), **fields}).encode())


@PLENTY
@given(st.lists(TURNS, max_size=4), BLOCKS)
def test_any_turns(turns: list[dict[str, Any]], last: dict[str, Any]) -> None:
    """Turns that look right, or almost."""
    end = {"role": "user", "content": [last]}
    assert_read(json.dumps({**PLAIN, "messages": [*turns, end], "tools": [TOOL]}).encode())


@PLENTY
@given(st.data())
def test_a_good_body_with_bytes_changed(data: st.DataObject) -> None:
    """One wrong byte anywhere in a request with everything in it."""
    turns = [
        {"role": "user", "content": [TEXT, IMAGE]},
        {"role": "assistant", "content": [THOUGHT, CALL]},
        {"role": "user", "content": [RESULT]},
    ]
    thinking = {"type": "enabled", "budget_tokens": 1500}
    full = {**PLAIN, "messages": turns, "tools": [TOOL], "system": [CACHED], "thinking": thinking, "temperature": 1}
    raw = bytearray(json.dumps(full).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert_read(bytes(raw))
