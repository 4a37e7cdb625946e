"""Who is let in, and what becomes of the key that was shown."""

import json

import httpx
import openai
import pytest

from tests.e2e.configs import TO_LIGHT, key_of
from tests.e2e.stack import Stack
from tests.e2e.wire import Wire
from tests.faults.handle import FaultServer

KEY = "key-of-globex"
WRONG = {
    "unknown": "sk-unknown-canary",
    "a-prefix-of-one": KEY[:-1],
    "one-and-more": KEY + "x",
    "another-case": KEY.upper(),
    "two-of-them": f"{KEY}, key-of-acme",
    "sql": "' OR 1=1 --",
    "sql-union": f"{KEY}' UNION ALL VALUES (1) --",
    "percent": "%6bey-of-globex",
    "its-hash": "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
    "long": "k" * 60_000,
    "very-long": "canary" * 180_000,
}


def chat(stack: Stack, headers: dict[str, str], query: str = "") -> httpx.Response:
    """A question with these headers and nothing else."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}
    return stack.http.post(f"{stack.base_url}/chat/completions{query}", json=body, headers=headers)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_key_is_a_401_that_never_repeats_it(regions: Stack, faults: FaultServer, name: str) -> None:
    """Every wrong key gets the same answer; the key is in no body, no log and no ledger, and nothing goes upstream."""
    key = WRONG[name]
    answer = chat(regions, {"authorization": f"Bearer {key}"})
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {
            "message": "this API key is not known here",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
    assert key not in answer.text + str(answer.headers) + "\n".join(regions.out.all() + regions.err.all())
    assert faults.calls() == ()


@pytest.mark.parametrize("value", ["", "Bearer", KEY, f"Basic {KEY}", f"bearer{KEY}", f"Token {KEY}"])
def test_without_a_bearer_token_it_is_a_401_that_says_how(regions: Stack, value: str) -> None:
    """No scheme, another scheme, or nothing behind it: the caller reads how a key is sent."""
    answer = chat(regions, {"authorization": value})
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["error"]["message"]
    assert KEY not in answer.text


@pytest.mark.parametrize(
    "value", [b"Bearer \xff\xfe\x80", b"Bearer k\xc3\xa9y", b"Bearer key\x00-of-globex", b"Bearer \x7f"]
)
def test_odd_bytes_for_a_key_let_nobody_in(regions: Stack, faults: FaultServer, value: bytes) -> None:
    """Bytes that are no text, and those HTTP forbids, are refused by a 4xx, never by a crash."""
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}'
    with Wire(regions.url) as wire:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {wire.host}\r\ncontent-length: {len(body)}\r\n"
        wire.send(head.encode() + b"authorization: " + value + b"\r\n\r\n" + body)
        first = wire.until(b"\r\n")
    assert first.split(b" ")[1] in (b"400", b"401")
    assert faults.calls() == ()
    assert regions.http.get(f"{regions.url}/health").status_code == 200


def test_a_key_in_another_place_is_no_key(regions: Stack, faults: FaultServer) -> None:
    """Neither the query, nor a cookie, nor a header of another name lets anybody in."""
    for headers, query in (
        ({}, f"?api_key={KEY}"),
        ({}, f"?authorization=Bearer%20{KEY}"),
        ({"cookie": f"authorization=Bearer {KEY}"}, ""),
        ({"proxy-authorization": f"Bearer {KEY}"}, ""),
        ({"x-forebay-key": KEY}, ""),
    ):
        assert chat(regions, dict(headers), query).status_code == 401
    assert faults.calls() == ()


@pytest.mark.parametrize(
    ("name", "value"), [("authorization", f"Bearer {KEY}"), ("authorization", f"bearer  {KEY}"), ("x-api-key", KEY)]
)
def test_a_right_key_is_let_in(regions: Stack, name: str, value: str) -> None:
    """As a bearer token, whatever the case of the scheme, or as x-api-key; the ledger knows it by its name."""
    answer = chat(regions, {name: value, **TO_LIGHT})
    assert answer.status_code == 200
    row = regions.books.request(answer.headers["x-request-id"])
    assert (row["tenant"], row["api_key"], row["sla_class"]) == ("globex", "ci", "pro")
    assert KEY not in json.dumps(regions.logged(answer.headers["x-request-id"]))


def test_keys_that_share_their_beginning_are_two_people(regions: Stack) -> None:
    """Each request is its own tenant's, whoever asked before."""
    for tenant in ("acme", "globex", "acme", "small", "strict", "vault", "globex"):
        answer = chat(regions, {**key_of(tenant), **TO_LIGHT})
        assert regions.books.request(answer.headers["x-request-id"])["tenant"] == tenant


def test_the_client_library_raises_authentication_error(regions: Stack) -> None:
    """openai.AuthenticationError, for chats and for lists."""
    with regions.openai("sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Say hello."}])
    with regions.openai("key-of-acme") as client:
        assert [model.id for model in client.models.list()][:4] == ["auto", "light", "mid", "premium"]


ROUTES = {
    ("GET", "/health"): 200,
    ("GET", "/ready"): 200,
    ("GET", "/docs"): 200,
    ("GET", "/openapi.json"): 200,
    ("GET", "/v1/models"): 401,
    ("GET", "/v1/models/auto"): 401,
    ("POST", "/v1/chat/completions"): 401,
    ("POST", "/v1/messages"): 401,
    ("POST", "/v1/messages/count_tokens"): 401,
    ("POST", "/v1/embeddings"): 401,
    ("POST", "/v1/completions"): 401,
}


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_what_is_open_without_a_key(regions: Stack, route: tuple[str, str]) -> None:
    """Health, readiness and the documents are; everything else is not."""
    method, path = route
    body = {"model": "auto", "messages": []} if method == "POST" else None
    answer = regions.http.request(method, regions.url + path, json=body)
    assert answer.status_code == ROUTES[route]


def test_there_is_no_route_that_the_table_does_not_know(regions: Stack) -> None:
    """A route that somebody adds has to be put into the table above, with or without a key."""
    document = regions.http.get(f"{regions.url}/openapi.json").json()
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    known = {(method, path.replace("/auto", "/{name}")) for method, path in ROUTES}
    assert found == known - {("GET", "/docs"), ("GET", "/openapi.json")}


TRICKS = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x/health?\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x#\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a@/health\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nhost: /health\r\n",
    b"POST http://x/v1/chat/completions HTTP/1.1\r\nhost: x\r\n",
    b"POST http://x/health/../v1/chat/completions HTTP/1.1\r\nhost: x\r\n",
    b"POST //v1/chat/completions HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1//chat/completions HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/chat%2fcompletions HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/%63hat/completions HTTP/1.1\r\nhost: x\r\n",
    b"POST /health/../v1/chat/completions HTTP/1.1\r\nhost: x\r\n",
    b"POST /health/%2e%2e/v1/chat/completions HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/chat/completions/ HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/chat/completions;/health HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/chat/completions?/health HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-original-url: /health\r\nx-rewrite-url: /health\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n",
    b"POST /v1/messages HTTP/1.1\r\nhost: x/health?\r\n",
    b"POST //v1/messages HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/messages/ HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/messages/count_tokens/../../messages HTTP/1.1\r\nhost: x\r\n",
    b"GET /v1/models HTTP/1.1\r\nhost: x/health?\r\n",
    b"GET //v1/models HTTP/1.1\r\nhost: x\r\n",
    b"GET /health/../v1/models HTTP/1.1\r\nhost: x\r\n",
    b"GET /v1/models/../../health HTTP/1.1\r\nhost: x\r\n",
    b"PUT /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-http-method-override: POST\r\n",
)


@pytest.mark.parametrize("head", TRICKS, ids=lambda head: head[:60].decode())
def test_no_way_of_writing_the_address_gets_round_the_key(regions: Stack, faults: FaultServer, head: bytes) -> None:
    """Whatever the target or the Host header says, without a key there is no answer (CVE-2026-48746)."""
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}'
    with Wire(regions.url) as wire:
        wire.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        status = int(wire.until(b"\r\n").split(b" ")[1])
    assert 400 <= status < 500
    assert faults.calls() == ()
