"""Requests that should not have been sent: refused at once, in OpenAI's shape, with nothing sent on or charged."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import psutil
import pytest

from tests.e2e.bad_bodies import asked, bad_fields, bad_json, unsafe_fields
from tests.e2e.configs import TO_LIGHT
from tests.e2e.stack import Stack
from tests.faults.handle import FaultServer

AT_ONCE_S = 5.0
LIMIT = 10 * 1024 * 1024


@pytest.fixture
def untouched(tiers: Stack, faults: FaultServer) -> Iterator[Stack]:
    """The gateway; at the end nothing was sent upstream, nothing was charged, and it is well."""
    cost, attempts = tiers.metric("forebay_cost_usd_total"), tiers.metric("forebay_attempts_total")
    yield tiers
    assert faults.calls() == ()
    assert tiers.metric("forebay_cost_usd_total") == cost
    assert tiers.metric("forebay_attempts_total") == attempts
    assert tiers.chat(headers=TO_LIGHT).status_code == 200


def post(stack: Stack, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    """A body as it is; the answer must come at once."""
    began = time.monotonic()
    answer = stack.http.post(f"{stack.base_url}/chat/completions", content=body, headers=headers or {})
    assert time.monotonic() - began < AT_ONCE_S
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) < 2000
    assert answer.headers["x-request-id"]
    return answer


def told(stack: Stack, body: bytes) -> str:
    """Status, code and param of the answer to a body."""
    answer = post(stack, body)
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return f"{answer.status_code} {error['code']} {error['param']}"


def test_what_is_no_json_object_is_refused(untouched: Stack) -> None:
    """Malformed, cut, nested 100,000 deep, in another encoding: 400, `invalid_json`, param `body`."""
    found = {name: told(untouched, body) for name, body in bad_json()}
    assert {name: said for name, said in found.items() if said != "400 invalid_json body"} == {}
    assert len(found) > 25


def test_a_field_at_fault_is_named(untouched: Stack) -> None:
    """Wrong types, numbers out of range, not finite or endless, and lists too long: 400 with the field as `param`."""
    found = {name: (told(untouched, body), param) for name, body, param in bad_fields()}
    wrong = {name: said for name, (said, param) in found.items() if not said.startswith(f"400 invalid_value {param}")}
    assert wrong == {}
    assert len(found) > 150


def test_unsafe_fields_are_refused(untouched: Stack) -> None:
    """A body may not say where a call goes, with which key, or what an engine is to do inside (CVE-2024-6587)."""
    for name, body in unsafe_fields():
        answer = post(untouched, body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, name)
        assert error["code"] in ("unsafe_field", "invalid_value")


def test_an_unknown_model_is_named_by_its_field(untouched: Stack) -> None:
    """404 with `param: model`; a name with control characters and colours does no harm on the way."""
    for name in ("gpt-9", "AUTO", "auto ", "x" * 256, "\x1b[31mred\x1b[0m\n\u202e", "../../etc/passwd", "light\x00"):
        answer = untouched.chat(name)
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")
        assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip", "GZIP", "x"])
def test_compressed_bodies_are_not_taken(untouched: Stack, encoding: str) -> None:
    """415 before anything is unpacked: a bomb is never opened."""
    answer = post(untouched, b"\x1f\x8b" + bytes(1000), {"content-encoding": encoding})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_content_encoding")
    assert answer.json()["error"]["param"] == "content-encoding"


def body_of(size: int) -> bytes:
    """A good body of exactly so many bytes."""
    text = httpx.Request("POST", "http://x", json=asked()).content
    return text[:-1] + b" " * (size - len(text)) + b"}"


def test_a_body_one_byte_over_the_limit_is_refused(untouched: Stack) -> None:
    """413, whether its length is declared or not."""
    answer = post(untouched, body_of(LIMIT + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert answer.json()["error"]["param"] == "body"

    body = body_of(LIMIT + 1)
    pieces = (body[start : start + 65536] for start in range(0, LIMIT + 1, 65536))
    answer = untouched.http.post(f"{untouched.base_url}/chat/completions", content=pieces)
    assert answer.status_code == 413


def test_a_body_at_the_limit_is_taken(tiers: Stack) -> None:
    """To the byte."""
    answer = tiers.http.post(f"{tiers.base_url}/chat/completions", content=body_of(LIMIT), headers=TO_LIGHT)
    assert answer.status_code == 200


def test_large_bodies_leave_no_memory_behind(untouched: Stack) -> None:
    """After thirty bodies of ten megabytes that are refused, the process has not grown by more than a few of them."""
    process = psutil.Process(untouched.process.pid)
    bodies = [
        b'{"model":"auto","messages":[' + b"1," * 5_000_000 + b"1]}",
        b"[" * LIMIT,
        b'"' + b"x" * (LIMIT - 2) + b'"',
    ]
    for body in bodies:
        post(untouched, body)
    before = process.memory_info().rss
    for _ in range(9):
        for body in bodies:
            assert post(untouched, body).status_code == 400
    assert process.memory_info().rss - before < 4 * LIMIT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "a b"),
        ("task", "x" * 65),
        ("requires-reasoning", "maybe"),
        ("region", "eu west"),
        ("local-only", "ja"),
        ("no-escalation", "2"),
        ("allow-fallback", "on and on"),
        ("session", "x" * 257),
    ],
)
def test_a_bad_hint_is_refused_by_its_header(untouched: Stack, name: str, value: str) -> None:
    """A hint that cannot be understood is not ignored: it may have been meant to keep data in."""
    answer = post(untouched, httpx.Request("POST", "http://x", json=asked()).content, {f"x-forebay-{name}": value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, f"x-forebay-{name}")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("PUT", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/models/auto", 405, "method_not_allowed"),
        ("POST", "/v1/chat/completion", 404, "route_not_found"),
        ("GET", "/v1", 404, "route_not_found"),
        ("GET", "/v1/models/gpt-9", 404, "model_not_found"),
        ("GET", "/metrics", 404, "route_not_found"),
        ("GET", "/admin/gate", 404, "route_not_found"),
    ],
)
def test_paths_and_methods_that_are_not_there(untouched: Stack, method: str, path: str, status: int, code: str) -> None:
    """404 and 405 in OpenAI's shape too; what belongs to the admin port is not on this one."""
    answer = untouched.http.request(method, untouched.url + path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_client_library_raises_what_it_should(untouched: Stack) -> None:
    """openai.BadRequestError with param and code, and no answer."""
    with untouched.openai() as client, pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x"}], n=1000)
    assert (error.value.param, error.value.code, error.value.type) == ("n", "invalid_value", "invalid_request_error")


def test_unknown_fields_are_dropped_and_named(tiers: Stack, faults: FaultServer) -> None:
    """What is neither known nor dangerous does not stop a request: it is left out, and x-forebay-ignored says so."""
    more: dict[str, Any] = {"store": True, "service_tier": "flex", "x_mine": {"a": 1}, "metadata": {"mine": "x"}}
    answer = tiers.chat(headers=TO_LIGHT, **more)
    assert answer.status_code == 200
    named = {"store", "service_tier", "x_mine", "metadata.mine"}
    assert set(answer.headers["x-forebay-ignored"].split(", ")) == named
    assert set(answer.json()["forebay"]["ignored"]) == named
    (call,) = faults.settled()
    assert all(name not in call.body for name in ("store", "service_tier", "x_mine", "mine", "metadata"))
