"""Bodies that nobody thought of: whatever is sent, the gateway answers, and never with a fault of its own."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.e2e.bad_bodies import asked
from tests.e2e.stack import Stack

FIELDS = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "stream",
    "stream_options",
    "user",
    "metadata",
    "functions",
    "store",
    "x",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(
    [
        "auto",
        "light",
        "user",
        "system",
        "tool",
        "text",
        "json_schema",
        "json_object",
        "image_url",
        "function",
        "none",
        "required",
    ]
)
KEYS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "name",
        "function",
        "parameters",
        "json_schema",
        "schema",
        "tool_calls",
        "id",
        "arguments",
        "task",
        "region",
    ]
)
NEARLY = st.recursive(
    SCALARS | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=16
)
LIMITS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_answered(stack: Stack, body: bytes, headers: Mapping[bytes, bytes]) -> None:
    """Send it; the answer is one, or a fault of the caller's in OpenAI's shape."""
    answer = stack.http.post(f"{stack.base_url}/chat/completions", content=body, headers=dict(headers))
    assert answer.status_code < 500, (body, answer.text)
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, (body, error)
        assert answer.status_code != 400 or error["param"], (body, error)


@LIMITS
@given(fields=st.dictionaries(st.sampled_from(FIELDS), NEARLY | JSON, max_size=6), whole=st.booleans())
@example(fields={"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, whole=False)
@example(fields={"n": 16, "stream": True, "logprobs": True, "top_logprobs": 20}, whole=False)
@example(fields={"messages": [{"role": "assistant"}]}, whole=False)
@example(fields={"messages": [{"role": "user", "content": []}]}, whole=False)
@example(fields={"messages": [{"role": "user", "content": ""}]}, whole=False)
@example(fields={"tools": [], "tool_choice": "none", "stop": [], "metadata": {}}, whole=False)
def test_any_fields_are_answered_or_refused(tiers: Stack, *, fields: dict[str, Any], whole: bool) -> None:
    """Fields of any value, in a body that is good but for them or in one that has nothing else: never a 5xx."""
    assert_answered(tiers, json.dumps(fields if whole else asked(**fields)).encode(), {})


@LIMITS
@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_answered_or_refused(tiers: Stack, body: bytes) -> None:
    """Bytes of any kind: a 4xx, never a 5xx and never silence."""
    assert_answered(tiers, body, {})


@LIMITS
@given(
    name=st.sampled_from(["task", "region", "session", "local-only", "no-escalation", "requires-reasoning", "x"]),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80),
)
def test_any_hint_is_answered_or_refused(tiers: Stack, name: str, value: str) -> None:
    """Hints of any text a header can hold."""
    headers = {f"x-forebay-{name}".encode(): value.strip().encode("latin-1")}
    assert_answered(tiers, json.dumps(asked()).encode(), headers)
