"""Requests that are no good HTTP, or that somebody sends too slowly: refused and closed, never taken for two."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.bad_bodies import asked
from tests.e2e.configs import SECRETS, TO_LIGHT, three_tiers
from tests.e2e.stack import Stack, running
from tests.e2e.wire import Wire
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

BODY = json.dumps(asked()).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-forebay-task: faq\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"


@pytest.fixture(scope="module")
def the_impatient(the_fault_server: FaultServer) -> Iterator[Stack]:
    """A gateway for which a body has to come within a second."""
    config = three_tiers(the_fault_server)
    config["server"]["body_timeout_s"] = 1
    config["server"]["max_body_bytes"] = 1 << 20
    with running(config, SECRETS) as stack:
        yield stack.ready("light")


@pytest.fixture
def impatient(the_impatient: Stack, faults: FaultServer) -> Iterator[Stack]:
    """The impatient gateway; at the end it is still well."""
    yield the_impatient
    assert the_impatient.chat(headers=TO_LIGHT).status_code == 200


BAD = {
    "length-and-chunks": HEAD + LENGTH + CHUNKED + b"\r\n0\r\n\r\n" + BODY,
    "chunks-and-length": HEAD + CHUNKED + LENGTH + b"\r\n0\r\n\r\n" + BODY,
    "odd-encoding": HEAD + b"transfer-encoding: xchunked\r\n\r\n" + BODY,
    "encoding-with-a-tab": HEAD + b"transfer-encoding:\tchunked, identity\r\n\r\n" + BODY,
    "two-lengths": HEAD + LENGTH + b"content-length: 3\r\n\r\n" + BODY,
    "negative-length": HEAD + b"content-length: -1\r\n\r\n" + BODY,
    "signed-length": HEAD + b"content-length: +75\r\n\r\n" + BODY,
    "endless-length": HEAD + b"content-length: " + b"9" * 40 + b"\r\n\r\n" + BODY,
    "space-before-colon": HEAD + b"content-length : 75\r\n\r\n" + BODY,
    "folded-header": HEAD + LENGTH + b"x-a: b\r\n c\r\n\r\n" + BODY,
    "bare-line-feeds": (HEAD + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "chunk-size-of-letters": HEAD + CHUNKED + b"\r\nzz\r\n",
    "negative-chunk": HEAD + CHUNKED + b"\r\n-1\r\n",
    "chunk-without-end": HEAD + CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n",
    "carriage-return-in-a-header": HEAD + LENGTH + b"x-a: b\rc\r\n\r\n" + BODY,
    "nul-in-a-header": HEAD + LENGTH + b"x-a: b\x00c\r\n\r\n" + BODY,
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "endless-address": b"POST /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_framing_that_can_be_read_two_ways_is_refused_and_closed(
    impatient: Stack, faults: FaultServer, name: str
) -> None:
    """400, one answer, and the end of the connection: what comes behind it is never a second request."""
    with Wire(impatient.url) as wire:
        wire.send(BAD[name] + HEAD + LENGTH + b"\r\n" + BODY)
        raw = wire.rest()
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1
    assert faults.calls() == ()


def test_what_is_left_of_a_short_length_is_no_request(impatient: Stack, faults: FaultServer) -> None:
    """A length that is too small cuts the body: 400, and the rest is refused as the garbage it is."""
    with Wire(impatient.url) as wire:
        wire.send(HEAD + b"content-length: 3\r\n\r\n" + BODY)
        raw = wire.rest()
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 200" not in raw
    assert faults.calls() == ()


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"content-length: %d\r\n\r\n" % (len(BODY) + 1) + BODY,
        HEAD + CHUNKED + b"\r\n5\r\nabc",
        HEAD + CHUNKED + b"expect: 100-continue\r\n\r\n",
    ],
    ids=["length-too-large", "chunk-that-stops", "nothing-after-continue"],
)
def test_a_body_that_does_not_come_is_not_waited_for(impatient: Stack, faults: FaultServer, sent: bytes) -> None:
    """408 in OpenAI's shape once the time for a body is over."""
    with Wire(impatient.url, timeout=5) as wire:
        wire.send(sent)
        if b"expect" in sent:
            wire.until(b"100 Continue\r\n\r\n")
        status, _, body = wire.response()
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (408, "body_timeout", "body")
    assert faults.calls() == ()


def test_a_body_without_end_is_cut_off(impatient: Stack, faults: FaultServer) -> None:
    """Chunk after chunk: 413 as soon as they are too many, whatever is still to come."""
    with Wire(impatient.url) as wire:
        wire.send(HEAD + CHUNKED + b"\r\n")
        for _ in range(17):
            wire.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
        status, _, body = wire.response()
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
    assert faults.calls() == ()


def test_a_length_that_is_too_large_is_refused_before_the_body(impatient: Stack, faults: FaultServer) -> None:
    """413 by the header alone."""
    with Wire(impatient.url) as wire:
        wire.send(HEAD + b"content-length: 99999999999\r\n\r\n")
        status, _, body = wire.response()
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
    assert faults.calls() == ()


GOOD = {
    "chunks": HEAD + CHUNKED + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    "chunks-of-one": HEAD + CHUNKED + b"\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n",
    "http-1.0": HEAD.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + BODY,
    "content-type-missing": HEAD + LENGTH + b"\r\n" + BODY,
    "content-type-of-text": HEAD + LENGTH + b"content-type: text/plain\r\n\r\n" + BODY,
    "identity": HEAD + LENGTH + b"content-encoding: identity\r\n\r\n" + BODY,
    "names-in-capitals": HEAD.replace(b"host", b"HOST") + LENGTH.upper() + b"\r\n" + BODY,
    "a-query": HEAD.replace(b"completions", b"completions?a=b") + LENGTH + b"\r\n" + BODY,
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_unusual_but_allowed_is_answered(impatient: Stack, faults: FaultServer, name: str) -> None:
    """Chunks, old versions, other content types: a body is a body."""
    with Wire(impatient.url) as wire:
        wire.send(GOOD[name])
        status, _, _ = wire.response()
    assert status == 200
    assert len(faults.settled()) == 1


def test_two_requests_on_one_connection_are_answered_in_their_order(impatient: Stack, faults: FaultServer) -> None:
    """Pipelined, each has its own answer and its own id."""
    with Wire(impatient.url) as wire:
        for name in (b"one", b"two"):
            wire.send(HEAD + b"x-request-id: %s\r\n" % name + LENGTH + b"\r\n" + BODY)
        ids = [wire.response()[1]["x-request-id"] for _ in range(2)]
    assert ids == ["one", "two"]
    assert len(faults.settled()) == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ticket-4711", True),
        ("a.b_c:d-E", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("ö", False),
        ("<script>", False),
        ("a%0d%0ab", False),
    ],
)
def test_the_callers_request_id_is_kept_if_it_can_be(tiers: Stack, given: str, *, kept: bool) -> None:
    """In header, `forebay` object, id of the answer, log and ledger; what is no identifier is replaced by one."""
    with Wire(tiers.url) as wire:
        wire.post(asked(), {"x-request-id": given, **TO_LIGHT})
        status, headers, body = wire.response()
    assert status == 200
    found = headers["x-request-id"]
    assert (found == given) == kept
    answer = json.loads(body)
    assert answer["forebay"]["request_id"] == found
    assert answer["id"] == f"chatcmpl-{found}"
    assert tiers.logged(found)["request_id"] == tiers.books.request(found)["request_id"]


def test_headers_of_a_provider_stay_with_us(tiers: Stack, faults: FaultServer) -> None:
    """What a provider sends in headers does not reach the caller: cookies, organisations, hop-by-hop fields."""
    odd = {"set-cookie": "a=b", "openai-organization": "acme", "x-request-id": "theirs", "x-forebay-tier": "premium"}
    faults.next("mid", Says(headers=odd), Says(headers=odd))
    for response in (tiers.chat("mid"), tiers.events("mid").response):
        assert response.status_code == 200
        assert "set-cookie" not in response.headers
        assert "openai-organization" not in response.headers
        assert response.headers["x-request-id"] != "theirs"
        assert response.headers["x-forebay-tier"] == "mid"
