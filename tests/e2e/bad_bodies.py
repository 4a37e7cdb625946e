"""Bodies that a caller should not have sent, and the field each is at fault in."""

import json
from collections.abc import Iterator
from typing import Any

from gateway.wire.fields import UNSAFE_FIELDS

_DEEP = 100_000
_HUGE = "1" + "0" * 999_999
_OUT_OF_RANGE: dict[str, tuple[object, ...]] = {
    "max_tokens": (-1, 0, 2**31, 2**63, 2**64, 1e308, "1", True, 1.5, [], {}),
    "max_completion_tokens": (-1, 0, 2**31, "16", False),
    "n": (-1, 0, 17, 128, 2**31, "1", True, 1.5),
    "top_logprobs": (-1, 21, 2**31, "3", True, 0.5),
    "seed": (2**63, -(2**63) - 1, "7", 1.5, True),
    "temperature": (-0.1, 2.1, 1e308, "0", True, []),
    "top_p": (0, -1, 1.1, "1"),
    "presence_penalty": (-2.1, 2.1, "0"),
    "frequency_penalty": (-2.1, 1e308, {}),
    "logit_bias": ({"50256": 101}, {"50256": -1e308}, {"50256": "5"}, {"word": 1}, {"-1": 1}, [1]),
    "stop": ("", [""], ["a"] * 5, "x" * 257, 7, [7], {}),
    "logprobs": (1, "true", []),
    "stream": (1, "yes", "true"),
    "stream_options": (True, []),
    "user": (7, "x" * 257, {}),
    "model": (7, "", "x" * 257, ["auto"], True),
    "reasoning_effort": (5, "HIGH", "x" * 40, ""),
    "parallel_tool_calls": ("yes", 1),
    "response_format": ("json", {"type": "xml"}, {}, []),
    "tool_choice": ("always", "required", {"type": "function"}, 7),
    "tools": ({}, "tool", [7], [{}], [{"type": "function"}], [{"type": "function", "function": {}}]),
    "metadata": ([], "x", 7),
    "messages": ("hello", 7, {}, [], [7], [[]], ["x"], [{}], [{"role": "user"}], [{"role": "ghost", "content": "x"}]),
}
_MESSAGES: dict[str, object] = {
    "number": {"role": "user", "content": 7},
    "object": {"role": "user", "content": {"text": "x"}},
    "null": {"role": "user", "content": None},
    "system-null": {"role": "system", "content": None},
    "unknown-part": {"role": "user", "content": [{"type": "smell", "smell": "x"}]},
    "part-without-type": {"role": "user", "content": [{"text": "x"}]},
    "image-without-url": {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
    "audio": {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]},
    "file": {"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]},
    "video": {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "http://10.0.0.1/"}}]},
    "tool-without-id": {"role": "tool", "content": "x"},
    "call-without-function": {"role": "assistant", "tool_calls": [{"id": "x", "type": "function"}]},
}
_SCHEMA = "response_format.json_schema.schema"


def asked(**more: Any) -> dict[str, Any]:
    """A good body with something else in it."""
    return {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}], **more}


def bad_json() -> Iterator[tuple[str, bytes]]:
    """Bodies that are no JSON object at all: the whole body is at fault."""
    good = json.dumps(asked()).encode()
    yield "empty", b""
    yield "blank", b"  \n"
    yield "cut", good[:-1]
    yield "cut-early", b"{"
    yield "more-behind", good + b"x"
    yield "two", good + good
    yield "single-quotes", good.replace(b'"', b"'")
    yield "comment", b"/* */" + good
    yield "bom", b"\xef\xbb\xbf" + good
    yield "utf-16", good.decode().encode("utf-16")
    yield "list", b"[" + good + b"]"
    yield "text", b'"auto"'
    yield "number", b"7"
    yield "null", b"null"
    yield "form", b"model=auto&messages=hello"
    yield "invalid-utf-8", good.replace(b"hello", b"\xff\xfe")
    yield "half-a-character", good.replace(b"hello", b"\xf0\x9f\x98")
    yield "lone-surrogate", good.replace(b"hello", b"\\ud800")
    yield "raw-control-character", good.replace(b"hello", b"a\x00b")
    yield "deep-lists", b"[" * _DEEP + b"]" * _DEEP
    yield "deep-objects", b'{"a":' * _DEEP + b"1" + b"}" * _DEEP
    yield "deep-unclosed", b'{"a":[' * _DEEP
    for text in ("NaN", "Infinity", "-Infinity", "0x10", "+1", "01", ".5"):
        yield f"number-{text}", json.dumps(asked(temperature="@")).encode().replace(b'"@"', text.encode())
    yield "deep-inside", json.dumps(asked(metadata="@")).encode().replace(b'"@"', b"[" * _DEEP + b"]" * _DEEP)


def bad_fields() -> Iterator[tuple[str, bytes, str]]:
    """JSON objects with one field at fault, and the start of its path."""
    for name, values in _OUT_OF_RANGE.items():
        for number, value in enumerate(values):
            yield f"{name}-{number}", json.dumps(asked(**{name: value})).encode(), name
    for name in ("temperature", "max_tokens", "seed"):
        for text in ("1e999", "-1e999", _HUGE):
            yield f"{name}-{text[:9]}", json.dumps(asked(**{name: "@"})).encode().replace(b'"@"', text.encode()), name
    for name, message in _MESSAGES.items():
        yield f"message-{name}", json.dumps(asked(messages=[message])).encode(), "messages[0]"
    yield "no-model", json.dumps({"messages": asked()["messages"]}).encode(), "model"
    yield "no-messages", json.dumps({"model": "auto"}).encode(), "messages"
    yield "top-logprobs-alone", json.dumps(asked(top_logprobs=3)).encode(), "top_logprobs"
    yield "million-messages", b'{"model":"auto","messages":[' + b"1," * 999_999 + b"1]}", "messages"
    yield "many-messages", json.dumps(asked(messages=asked()["messages"] * 10_001)).encode(), "messages"
    tool = {"type": "function", "function": {"name": "f"}}
    yield "many-tools", json.dumps(asked(tools=[tool] * 100_000)).encode(), "tools"
    absent = {"type": "function", "function": {"name": "g"}}
    yield "absent-tool", json.dumps(asked(tools=[tool], tool_choice=absent)).encode(), "tool_choice"
    yield from _bad_schemas()
    yield "metadata-task", json.dumps(asked(metadata={"task": "a b"})).encode(), "metadata.task"
    yield "metadata-region", json.dumps(asked(metadata={"region": 7.5})).encode(), "metadata.region"
    yield "metadata-flag", json.dumps(asked(metadata={"local_only": "perhaps"})).encode(), "metadata.local_only"


def _bad_schemas() -> Iterator[tuple[str, bytes, str]]:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"type": "object", "properties": {"a": deep}}
    schemas = {
        "type": {"type": "strange"},
        "deep": deep,
        "large": {"enum": [f"value {number}" for number in range(10_000)]},
        "remote": {"$ref": "http://127.0.0.1:9/schema.json"},
        "file": {"$ref": "file:///etc/passwd"},
        "pattern": {"type": "string", "pattern": "("},
    }
    for name, schema in schemas.items():
        wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
        yield f"schema-{name}", json.dumps(asked(response_format=wanted)).encode(), _SCHEMA
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        yield f"tool-schema-{name}", json.dumps(asked(tools=[tool])).encode(), "tools[0].function.parameters"
    missing = {"type": "json_schema", "json_schema": {"name": "s"}}
    yield "schema-missing", json.dumps(asked(response_format=missing)).encode(), _SCHEMA
    nested = json.dumps(asked(response_format="@")).encode()
    opened = b'{"type":"json_schema","json_schema":{"name":"s","schema":'
    yield "schema-very-deep", nested.replace(b'"@"', opened + b'{"not":' * 900 + b"{}" + b"}" * 902), _SCHEMA


def unsafe_fields() -> Iterator[tuple[str, bytes]]:
    """Fields that would redirect a call, take its credentials, or reach into an engine."""
    for name in sorted(UNSAFE_FIELDS | {"guided_json", "guided_anything", "functions", "function_call"}):
        yield name, json.dumps(asked(**{name: "http://127.0.0.1:9/"})).encode()
