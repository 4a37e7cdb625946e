"""Whole answers over HTTP: what each failure means, what was billed, and that nothing of theirs is repeated."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.awake import AwakeClock
from gateway.backends.chat import ChatClient, Deadlines
from gateway.errors import BackendError, Broken, Reason, Refused, TimedOut, Unreachable
from gateway.messages import Choice, Completion, Usage, UsageQuality
from tests.gateway.backends.calls import BODY, DEADLINES, calling, later, sends, silent
from tests.gateway.backends.raw_server import PATIENCE_S, Caller, RawServer, Script, answer, response

CANARY = "secret-canary-of-the-prompt"


def sends_and_leaves(*pieces: bytes) -> Script:
    """A script that sends these bytes and closes the connection without another word."""

    async def script(caller: Caller) -> None:
        await caller.send(*pieces)
        raise ConnectionAbortedError

    return script


async def failure(script: Script, deadlines: Deadlines = DEADLINES) -> BackendError:
    """How an answer by this script fails."""
    async with calling(script, deadlines) as (server, client), asyncio.timeout(PATIENCE_S):
        with pytest.raises(BackendError) as caught:
            await client.complete(server.url, BODY, later())
    return caught.value


async def test_an_answer_is_read() -> None:
    """Model, text, finish reason and usage, however the bytes arrive."""
    raw = response(answer("four"))
    for pieces in ((raw,), (raw[:30], raw[30:90], raw[90:])):
        async with calling(sends(*pieces)) as (server, client):
            assert await client.complete(server.url, BODY, later()) == Completion(
                model="m-1",
                choices=(Choice(text="four", finish_reason="stop"),),
                usage=Usage(3, 2, quality=UsageQuality.EXACT),
            )


async def test_what_is_sent() -> None:
    """The body as JSON, the key of this backend, no encoding that could unpack to any size, and nothing of ours."""
    async with calling(sends(response(answer())), headers={"authorization": "Bearer k"}) as (server, client):
        await client.complete(server.url, {"model": "m", "messages": [{"role": "user", "content": "ü"}]}, later())
        (received,) = server.received
    assert received.target == "/v1/chat/completions"
    assert json.loads(received.body) == {"model": "m", "messages": [{"role": "user", "content": "ü"}]}
    assert received.headers["authorization"] == "Bearer k"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["accept-encoding"] == "identity"
    assert "cookie" not in received.headers
    assert not any(name.startswith("x-forebay") for name in received.headers)


async def test_a_connection_is_used_again() -> None:
    """After an answer it is kept for the next request; cookies are not."""
    async with calling(sends(response(answer(), headers={"set-cookie": "a=b"}))) as (server, client):
        for _ in range(3):
            await client.complete(server.url, BODY, later())
    assert server.connections == 1
    assert all("cookie" not in each.headers for each in server.received)


STATUSES: list[tuple[str, dict[str, object], Reason, bool, bool]] = [
    ("400 Bad Request", {}, Reason.UPSTREAM_ERROR, True, False),
    ("400 Bad Request", {"code": "context_length_exceeded"}, Reason.CONTEXT_LENGTH, True, False),
    (
        "400 Bad Request",
        {"message": "This model's maximum context length is 4096 tokens."},
        Reason.CONTEXT_LENGTH,
        True,
        False,
    ),
    ("413 Too Large", {"message": "too many tokens"}, Reason.CONTEXT_LENGTH, True, False),
    ("400 Bad Request", {"code": "content_filter"}, Reason.CONTENT_FILTER, True, False),
    ("401 Unauthorized", {"code": "invalid_api_key"}, Reason.UPSTREAM_ERROR, False, False),
    ("403 Forbidden", {}, Reason.UPSTREAM_ERROR, False, False),
    ("404 Not Found", {"code": "model_not_found"}, Reason.UPSTREAM_ERROR, False, False),
    ("408 Request Timeout", {}, Reason.UPSTREAM_TIMEOUT, False, False),
    ("413 Too Large", {}, Reason.UPSTREAM_ERROR, True, False),
    ("422 Unprocessable", {}, Reason.UPSTREAM_ERROR, True, False),
    ("429 Too Many Requests", {}, Reason.RATE_LIMIT, False, True),
    ("429 Too Many Requests", {"code": "insufficient_quota"}, Reason.RATE_LIMIT, False, True),
    ("500 Internal Server Error", {}, Reason.UPSTREAM_ERROR, False, False),
    ("502 Bad Gateway", {}, Reason.UPSTREAM_ERROR, False, False),
    ("503 Unavailable", {}, Reason.UPSTREAM_ERROR, False, True),
    ("504 Gateway Timeout", {}, Reason.UPSTREAM_TIMEOUT, False, False),
    ("529 Overloaded", {}, Reason.UPSTREAM_ERROR, False, True),
    ("204 No Content", {}, Reason.UPSTREAM_ERROR, False, False),
    ("307 Temporary Redirect", {}, Reason.UPSTREAM_ERROR, False, False),
]
"""Status, the error's fields; then the reason, whether it is the request's fault, and whether to ask once more."""


@pytest.mark.parametrize(("status", "fields", "reason", "callers_fault", "retryable"), STATUSES, ids=str)
async def test_what_a_status_means(
    *, status: str, fields: dict[str, object], reason: Reason, callers_fault: bool, retryable: bool
) -> None:
    """No error status is billed; its reason says whom to ask next."""
    body = b"" if status.startswith("204") else json.dumps({"error": {"message": "m", **fields}}).encode()
    error = await failure(sends(response(body, status)))
    assert isinstance(error, Refused)
    assert (error.status, error.reason, error.billed) == (int(status[:3]), reason, False)
    assert (error.callers_fault, error.retryable) == (callers_fault, retryable)


async def test_a_redirect_is_not_followed() -> None:
    """The prompt and the key go where the configuration says and nowhere else."""
    async with calling(silent) as (elsewhere, _):
        moved = response(b"", "307 Temporary Redirect", {"location": elsewhere.url})
        assert (await failure(sends(moved))).status == 307
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "7"}, 7.0), ({"Retry-After-Ms": "1500"}, 1.5), ({"retry-after": "soon"}, None), ({}, None)],
)
async def test_when_to_come_back_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """From the headers of the refusal."""
    error = await failure(sends(response(b"{}", "429 Too Many Requests", headers)))
    assert error.retry_after == seconds


ECHOES: list[dict[str, object] | str] = [
    {"error": {"message": f"you said: {CANARY}", "code": f"bad {CANARY}!", "param": f"messages: {CANARY} {CANARY}"}},
    {"error": f"you said: {CANARY}"},
    {"detail": CANARY},
    f"<html>{CANARY}</html>",
    {"error": {"message": CANARY, "code": {"a": CANARY}}},
]


@pytest.mark.parametrize("status", ["400 Bad Request", "429 Too Many Requests", "500 Internal Server Error"])
@pytest.mark.parametrize("body", ECHOES, ids=lambda value: str(value)[:30])
async def test_what_an_upstream_wrote_is_never_repeated(status: str, body: dict[str, object] | str) -> None:
    """Providers quote prompts and keys in their errors; only a short code and the name of a field pass."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error = await failure(sends(response(raw, status)))
    assert isinstance(error, Refused)
    assert CANARY not in f"{error} {error.upstream_code} {error.upstream_param} {error.__cause__} {error.__context__}"


async def test_a_short_code_and_a_field_pass() -> None:
    """They tell the caller what to mend."""
    body = json.dumps({"error": {"message": "no", "code": "bad_value", "param": "tools[0].function"}}).encode()
    error = await failure(sends(response(body, "400 Bad Request")))
    assert isinstance(error, Refused)
    assert (error.upstream_code, error.upstream_param) == ("bad_value", "tools[0].function")
    assert str(error) == "mini answered with status 400, code bad_value"


GARBAGE: dict[str, Script] = {
    "html": sends(response(b"<html>busy</html>", headers={"content-type": "text/html"})),
    "empty": sends(response(b"")),
    "half a body": sends(response(answer()[:40])),
    "an error with status 200": sends(response(b'{"error": {"message": "no"}}')),
    "no choices": sends(response(answer(choices=[]))),
    "no finish reason": sends(response(answer(choices=[{"message": {"content": "a"}}]))),
    "given up": sends(response(answer(choices=[{"message": {"content": "a"}, "finish_reason": "abort"}]))),
    "not a number": sends(response(answer().replace(b'"prompt_tokens": 3', b'"prompt_tokens": NaN'))),
    "not utf-8": sends(response(b'{"model": "\xff"}')),
    "very deep": sends(response(b"[" * 100_000)),
    "compressed": sends(response(answer(), headers={"content-encoding": "gzip"})),
    "no http": sends_and_leaves(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "no answer at all": sends_and_leaves(b""),
    "cut in the head": sends_and_leaves(response(answer())[:40]),
    "cut in the body": sends_and_leaves(response(answer())[:-10]),
    "cut in a chunk": sends_and_leaves(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\nabc"),
    "an impossible length": sends_and_leaves(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}"),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_broken_and_perhaps_billed(name: str) -> None:
    """Something came back, so the provider may have worked: it is not asked again, and it is charged."""
    error = await failure(GARBAGE[name])
    assert isinstance(error, Broken)
    assert (error.reason, error.billed, error.retryable) == (Reason.UPSTREAM_ERROR, True, False)


async def test_a_connection_that_is_reset_is_broken() -> None:
    """However rudely it ends."""

    async def script(caller: Caller) -> None:
        await caller.send(response(answer())[:60])
        caller.reset()

    assert isinstance(await failure(script), Broken)


async def test_who_waits_for_an_engine_that_hangs_is_told_so() -> None:
    """Before the head, and before the end of the body; whoever asks there later is not meant."""
    for script in (silent, sends(response(answer())[:-4])):
        async with calling(script) as (server, client), asyncio.timeout(PATIENCE_S):
            asking = asyncio.create_task(client.complete(server.url, BODY, later()))
            await server.asked.wait()
            client.hang_up("http://127.0.0.1:1")
            await asyncio.sleep(0)
            assert not asking.done()
            client.hang_up(server.url.removesuffix("/v1/chat/completions"))
            with pytest.raises(Broken, match="its engine hangs"):
                await asking
    async with calling(sends(response(answer("four")))) as (server, client):
        client.hang_up(server.url)
        assert (await client.complete(server.url, BODY, later())).choices[0].text == "four"


async def test_an_error_body_without_end_is_cut() -> None:
    """What is read of a refusal is bounded, and the connection is closed on it."""
    cut_after = asyncio.Event()

    async def script(caller: Caller) -> None:
        await caller.send(b"HTTP/1.1 500 Internal Server Error\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            for _ in range(10_000):
                await caller.send(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        finally:
            cut_after.set()

    error = await failure(script)
    assert error.status == 500
    async with asyncio.timeout(PATIENCE_S):
        await cut_after.wait()


def unused_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def test_nobody_there_is_unreachable() -> None:
    """Nothing was sent, so nothing was billed, and asking once more is safe."""
    client = ChatClient("mini", DEADLINES, {})
    try:
        with pytest.raises(Unreachable) as caught:
            await client.complete(f"http://127.0.0.1:{unused_port()}/v1", BODY, later())
    finally:
        await client.close()
    assert (caught.value.billed, caught.value.retryable) == (False, True)


@contextmanager
def full_queue() -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens, with more callers before it than may wait; and where it is."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (one, two):
            each.setblocking(False)  # noqa: FBT003 - that is its name
            each.connect_ex(full.getsockname())
        yield full, f"http://127.0.0.1:{full.getsockname()[1]}/v1"


async def test_a_connection_that_does_not_come_about_times_out() -> None:
    """A queue that is full swallows knocks; that is not billed either and may be tried again."""
    with full_queue() as (_, url):
        client = ChatClient("mini", Deadlines(connect_s=0.05, first_token_s=5, idle_s=5, total_s=5), {})
        try:
            with pytest.raises(TimedOut) as caught:
                await client.complete(url, BODY, later())
        finally:
            await client.close()
    assert (caught.value.stage, caught.value.billed, caught.value.retryable) == ("connect", False, True)


async def test_a_connection_that_we_slept_through_is_tried_once_more() -> None:
    """Nothing was sent, and the time was up while nobody here could have noticed that it stood."""
    clock, script = AwakeClock(), sends(response(answer()))
    with full_queue() as (full, url):
        limits = Deadlines(connect_s=0.2, first_token_s=5, idle_s=5, total_s=5)
        client = ChatClient("mini", limits, {}, clock=clock)
        asked = asyncio.create_task(client.complete(url, BODY, later()))
        await asyncio.wait((asked,), timeout=0.05)
        clock.lost_s += 35.0
        async with RawServer(script).running(full), asyncio.timeout(PATIENCE_S):
            assert (await asked).choices[0].text == "hi"
        await client.close()


SLOW: dict[str, Script] = {
    "before the head": silent,
    "in the head": sends(b"HTTP/1.1 200 OK\r\n"),
    "in the body": sends(response(answer())[:-5]),
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("deadline", [None, 0.05])
async def test_an_answer_that_takes_too_long_times_out(name: str, deadline: float | None) -> None:
    """By the backend's limit or the request's, wherever it hangs; it may be billed, and the connection is closed."""

    async def script(caller: Caller) -> None:
        await SLOW[name](caller)
        await caller.hung_up()

    total_s = 0.05 if deadline is None else 60.0
    limits = Deadlines(connect_s=5, first_token_s=5, idle_s=5, total_s=total_s)
    async with calling(script, limits) as (server, client), asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimedOut) as caught:
            await client.complete(server.url, BODY, later(60.0 if deadline is None else deadline))
        await server.left.wait()
    assert (caught.value.stage, caught.value.reason, caught.value.billed) == ("total", Reason.UPSTREAM_TIMEOUT, True)
    assert not caught.value.retryable


@pytest.mark.parametrize("name", SLOW)
async def test_hanging_up_closes_the_connection(name: str) -> None:
    """A call that is cancelled stops the generation at the other side at once."""

    async def script(caller: Caller) -> None:
        await SLOW[name](caller)
        await caller.hung_up()

    async with calling(script) as (server, client), asyncio.timeout(PATIENCE_S):
        call = asyncio.create_task(client.complete(server.url, BODY, later()))
        await server.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(1.0):
            await server.left.wait()
