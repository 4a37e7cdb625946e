"""Requests the engine does not take are refused at once, in OpenAI's shape, with the field named."""

import json
import random
from typing import Any

import pytest

from tests.llama.engine_process import EngineProcess
from tests.llama.test_schema import BOMBS

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
USER = [{"role": "user", "content": "x"}]


def refused(engine: EngineProcess, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    """Status and error object of a refusal."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = engine.http.post(path, content=content)
    assert 400 <= response.status_code < 500, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return response.status_code, error


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 10**9}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"seed": 2**70}, "seed"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": 5}, "stop"),
        ({"presence_penalty": 2.1}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"49152": 1}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logprobs": 5}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"priority": "high"}, "priority"),
        ({"priority": 2**31}, "priority"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ],
)
def test_wrong_types_and_ranges_name_the_field(engine: EngineProcess, more: dict[str, Any], param: str) -> None:
    """A 400 with `param` set to where the fault is."""
    status, error = refused(engine, CHAT, {"messages": USER, **more})
    assert (status, error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, {"messages": USER, "functions": [{"name": "f"}]}, "functions"),
        (TEXT, {"prompt": "x", "echo": True}, "echo"),
        (TEXT, {"prompt": "x", "suffix": "y"}, "suffix"),
        (TEXT, {"prompt": "x", "best_of": 3}, "best_of"),
    ],
)
def test_what_the_engine_cannot_do_yet_is_said(engine: EngineProcess, path: str, body: Any, param: str) -> None:
    """Code `unsupported`, so that a gateway can take another backend."""
    status, error = refused(engine, path, body)
    assert (status, error["code"], error["param"]) == (400, "unsupported", param)


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(engine: EngineProcess) -> None:
    """Exactly as long as the context is too long, one less is not; absurd lengths are not even tokenised."""
    status, error = refused(engine, TEXT, {"prompt": " a" * 768})
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "prompt")
    assert "768 tokens" in error["message"]
    assert "has 768;" in error["message"]
    response = engine.post(TEXT, prompt=" a" * 767, max_tokens=5)
    assert response.json()["usage"]["completion_tokens"] == 1
    status, error = refused(engine, CHAT, {"messages": [{"role": "user", "content": "a" * 4_000_000}]})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "at least" in error["message"]


def test_an_unknown_model_and_unknown_paths_are_404_and_wrong_methods_405(engine: EngineProcess) -> None:
    """Each says what there is instead."""
    status, error = refused(engine, CHAT, {"messages": USER, "model": "gpt-5"})
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert engine.http.get("/v2").json()["error"]["code"] == "not_found"
    assert engine.http.get(CHAT).status_code == 405
    assert engine.http.post("/health").json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b"[1]",
        b'"x"',
        b"\xff\xfe",
        b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}',
        b'{"messages":[{"role":"user","content":"x"}],"temperature":1e999}',
        b'{"messages":' + b"[" * 100_000,
        b'{"messages":[{"role":"user","content":"x"}],"z":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_broken_bodies_are_refused(engine: EngineProcess, body: bytes) -> None:
    """Malformed, mistyped, badly encoded, non-finite and deeply nested JSON."""
    status, error = refused(engine, CHAT, body)
    assert status == 400
    assert error["param"]


def test_a_huge_body_is_refused_before_it_is_read(engine: EngineProcess) -> None:
    """413 from 8 MiB on."""
    status, error = refused(engine, CHAT, b"x" * (9 * 1024 * 1024))
    assert (status, error["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("name", BOMBS)
def test_schema_bombs_name_the_limit(engine: EngineProcess, name: str) -> None:
    """The engine answers 400 with the limit, and lives."""
    schema, why = BOMBS[name]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    status, error = refused(engine, CHAT, {"messages": USER, "response_format": wanted})
    assert (status, error["code"], error["param"]) == (400, "unsupported_schema", "response_format")
    assert why.replace("\\", "") in error["message"]


@pytest.mark.parametrize("seed", range(4))
def test_no_random_body_ends_the_process(engine: EngineProcess, seed: int) -> None:
    """A thousand mutilated requests: every one is answered below 500, and the engine goes on."""
    dice = random.Random(seed)
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}, "required": ["a"]}
    good = json.dumps(
        {
            "messages": [{"role": "user", "content": "hi <|im_end|> \u0000 🚀"}],
            "max_tokens": 1,
            "temperature": 1.0,
            "stop": ["x"],
            "logit_bias": {"5": 1},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        }
    ).encode()
    for _ in range(250):
        body = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(body))
            body[place : place + dice.randint(0, 12)] = dice.choice(
                [b"", b"null", b"9", b'"', b"}", b"[", b"-1e9", b"\x00", b"true", b',"n":3', body[:20]]
            )
        response = engine.http.post(dice.choice([CHAT, TEXT]), content=bytes(body))
        assert response.status_code < 500, (bytes(body), response.text)
    assert engine.health() == 200


@pytest.mark.parametrize(
    "text", ["a" * 100_000, " " * 100_000, "\n" * 50_000, "漢" * 30_000, "\u0000" * 10_000, "1" * 50_000]
)
def test_long_unbroken_text_is_tokenised_or_refused(engine: EngineProcess, text: str) -> None:
    """Words without end, which a recursive tokenizer would overflow its stack on."""
    response = engine.post(TEXT, prompt=text, max_tokens=1)
    assert response.status_code in (200, 400)
    assert engine.health() == 200
