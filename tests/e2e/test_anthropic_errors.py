"""What the official Anthropic client makes of a request that fails: each time its own exception, in its API's shape."""

from typing import Any

import anthropic
import pytest
from anthropic.types.message_param import MessageParam

from tests.e2e.configs import key_of
from tests.e2e.stack import Stack
from tests.faults.behaviours import Says, Status
from tests.faults.handle import FaultServer

SKY: list[MessageParam] = [{"role": "user", "content": "What colour is the sky? Answer in one word."}]


def details(error: anthropic.APIStatusError) -> dict[str, Any]:
    """The body of an error, which has this API's shape."""
    body = error.response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert error.response.headers["request-id"] == error.response.headers["x-request-id"] == body["request_id"]
    found: dict[str, Any] = body["error"]
    return found


REFUSED: list[tuple[dict[str, Any], type[anthropic.APIStatusError], str, str, str | None]] = [
    ({"model": "gpt-9"}, anthropic.NotFoundError, "not_found_error", "model_not_found", "model"),
    ({"max_tokens": 0}, anthropic.BadRequestError, "invalid_request_error", "invalid_value", "max_tokens"),
    ({"messages": []}, anthropic.BadRequestError, "invalid_request_error", "invalid_value", "messages"),
    (
        {"messages": [{"role": "user", "content": [{"type": "nonsense"}]}]},
        anthropic.BadRequestError,
        "invalid_request_error",
        "invalid_value",
        "messages.0.content.0.type",
    ),
    (
        {"extra_body": {"api_base": "http://evil"}},
        anthropic.BadRequestError,
        "invalid_request_error",
        "unsafe_field",
        "api_base",
    ),
    (
        {"model": "local", "messages": [{"role": "user", "content": "word " * 5_000}]},
        anthropic.BadRequestError,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
]


@pytest.mark.parametrize(("fields", "kind", "error_type", "code", "param"), REFUSED, ids=lambda each: str(each)[:40])
def test_a_refusal_is_the_clients_own_exception(
    real: Stack,
    fields: dict[str, Any],
    kind: type[anthropic.APIStatusError],
    error_type: str,
    code: str,
    param: str | None,
) -> None:
    """In the shape of that API, with our code and the field at fault among the details."""
    asked: dict[str, Any] = {"model": "auto", "max_tokens": 5, "messages": SKY, **fields}
    for stream in (False, True):
        with real.anthropic() as client, pytest.raises(kind) as caught:
            client.messages.create(**asked, stream=stream)
        found = details(caught.value)
        assert found["type"] == error_type
        assert found["details"]["error_code"] == code
        assert found["details"].get("param") == param


def test_keys_come_as_x_api_key(regions: Stack) -> None:
    """A right one is its tenant's, by either header; a wrong one is the client's AuthenticationError."""
    asked: dict[str, Any] = {"model": "light", "max_tokens": 5, "messages": SKY}
    with regions.anthropic("key-of-acme") as client:
        raw = client.messages.with_raw_response.create(**asked)
        by_token = client.with_options(auth_token="key-of-globex").messages.with_raw_response
        other = by_token.create(**asked, extra_headers={**key_of("globex"), "x-api-key": ""})
    assert regions.books.request(raw.headers["x-request-id"])["tenant"] == "acme"
    assert regions.books.request(other.headers["x-request-id"])["tenant"] == "globex"
    with regions.anthropic("sk-wrong-canary") as client:
        for call in (client.messages.create, client.messages.count_tokens):
            with pytest.raises(anthropic.AuthenticationError) as caught:
                call(**asked if call == client.messages.create else {"model": "light", "messages": SKY})
            found = details(caught.value)
            assert (found["type"], found["details"]["error_code"]) == ("authentication_error", "invalid_api_key")
            assert "canary" not in caught.value.response.text


BROKEN = {
    "cut": Says(ends="close", after=2),
    "unfinished": Says(ends="unfinished", after=2),
    "error": Says(ends="error", after=2),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_raises(breaking: Stack, faults: FaultServer, name: str) -> None:
    """The client gets what was said and then its own error: never a stop reason, never a message_stop."""
    faults.next("premium", BROKEN[name])
    seen: list[str] = []
    with breaking.anthropic() as client, pytest.raises(anthropic.APIStatusError) as caught:  # noqa: PT012
        for event in client.messages.create(model="premium", max_tokens=9, messages=SKY, stream=True):
            seen.append(event.type)  # noqa: PERF401 - what came before it raises is the point
    assert seen[-1] == "content_block_delta"
    assert "message_delta" not in seen
    body: Any = caught.value.body
    assert body["error"]["details"]["error_code"] == "upstream_interrupted"


FAILED: list[tuple[Status, type[anthropic.APIStatusError], str, str]] = [
    (
        Status(status=429, headers={"retry-after": "0"}),
        anthropic.RateLimitError,
        "rate_limit_error",
        "rate_limit_exceeded",
    ),
    (Status(status=500), anthropic.InternalServerError, "api_error", "upstream_error"),
    (Status(status=504), anthropic.APIStatusError, "timeout_error", "upstream_timeout"),
    (Status(status=422), anthropic.BadRequestError, "invalid_request_error", "request_refused"),
]


@pytest.mark.parametrize("failed", FAILED, ids=str)
def test_a_backend_that_fails_is_the_clients_own_exception(
    frail_stack: Stack,
    faults: FaultServer,
    frail_backend: str,
    failed: tuple[Status, type[anthropic.APIStatusError], str, str],
) -> None:
    """With the seconds to wait where coming back makes sense."""
    does, kind, error_type, code = failed
    faults.always(frail_backend, does)
    with frail_stack.anthropic() as client, pytest.raises(kind) as caught:
        client.messages.create(model=frail_backend, max_tokens=9, messages=SKY)
    found = details(caught.value)
    assert (found["type"], found["details"]["error_code"]) == (error_type, code)
    assert ("retry-after" in caught.value.response.headers) == (caught.value.status_code == 429)
    row = frail_stack.books.request(caught.value.response.headers["x-request-id"])
    assert (row["code"], row["http_status"]) == (code, caught.value.status_code)


def test_the_address_takes_posts_of_this_api_only(real: Stack) -> None:
    """Another method, a body that is no JSON, one of the other API: refused in this API's shape."""
    url = f"{real.url}/v1/messages"
    for answer, status in (
        (real.http.get(url), 405),
        (real.http.post(url, content=b"{"), 400),
        (real.http.post(url, json={"model": "auto", "messages": [{"role": "user", "content": "hi"}]}), 400),
        (
            real.http.post(
                url, json={"model": "auto", "max_tokens": 5, "messages": [{"role": "tool", "content": "x"}]}
            ),
            400,
        ),
    ):
        assert answer.status_code == status
        assert answer.json()["type"] == "error"
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_what_is_not_there_is_not_there_in_this_apis_shape(real: Stack) -> None:
    """Batches of messages, for one."""
    with real.anthropic() as client, pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.batches.list()
    assert (caught.value.type, caught.value.status_code) == ("not_found_error", 404)
