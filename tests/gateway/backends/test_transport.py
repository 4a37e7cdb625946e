"""Both transports, put to the same server: whichever carries a request, the answer and its faults are the same."""

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.backends.aiohttp_transport import AiohttpTransport
from gateway.backends.plain_transport import PlainTransport
from gateway.backends.transport import (
    NotConnected,
    Response,
    Severed,
    Transport,
    in_the_clear,
    media_type,
)
from tests.gateway.backends.calls import sends
from tests.gateway.backends.raw_server import PATIENCE_S, Caller, RawServer, Script, chunk, response, stream_head
from tests.gateway.backends.test_chat import sends_and_leaves, unused_port

KINDS: dict[str, Callable[[], Transport]] = {
    "plain": lambda: PlainTransport(5.0, {"authorization": "Bearer k"}),
    "aiohttp": lambda: AiohttpTransport(5.0, {"authorization": "Bearer k"}, tls=None, proxy=None),
}
KIND = pytest.mark.parametrize("kind", KINDS)
BODY = b'{"a": 1}'


@asynccontextmanager
async def asking(kind: str, script: Script) -> AsyncIterator[tuple[RawServer, Transport]]:
    """A server that follows `script`, and a transport to it."""
    async with RawServer(script).running() as server, asyncio.timeout(PATIENCE_S):
        transport = KINDS[kind]()
        try:
            yield server, transport
        finally:
            await transport.close()


async def whole(found: Response) -> bytes:
    """The body to its end; the connection goes back."""
    pieces = []
    try:
        while piece := await found.readany():
            pieces.append(piece)
        assert await found.readany() == b""
        found.release()
    finally:
        found.close()
    return b"".join(pieces)


async def turns() -> None:
    """Let the loop see everything that is there to be seen."""
    for _ in range(300):
        await asyncio.sleep(0)


CHUNKED = stream_head("application/json")
ANSWERS: dict[str, tuple[Script, bytes]] = {
    "with a length": (sends(response(b"four")), b"four"),
    "with no body": (sends(response(b"", "204 No Content")), b""),
    "in chunks": (sends(CHUNKED, chunk(b"fo"), chunk(b"ur"), chunk(b"")), b"four"),
    "byte by byte": (sends(*(bytes([each]) for each in CHUNKED + chunk(b"four") + chunk(b""))), b"four"),
    "with a trailer": (sends(CHUNKED, chunk(b"four"), b"0\r\nx-late: 1\r\n\r\n"), b"four"),
    "after an interim answer": (sends(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + response(b"four")), b"four"),
    "to the end of the connection": (sends_and_leaves(b"HTTP/1.1 200 OK\r\n\r\nfour"), b"four"),
    "of HTTP/1.0": (sends_and_leaves(b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nfour"), b"four"),
    "large": (sends(response(b"x" * 3_000_000)), b"x" * 3_000_000),
}


@KIND
@pytest.mark.parametrize("how", ANSWERS)
async def test_a_body_is_read_to_its_end(kind: str, how: str) -> None:
    """However long it is, in whatever pieces it comes, and whatever marks its end."""
    script, body = ANSWERS[how]
    async with asking(kind, script) as (server, transport):
        found = await transport.post(server.url, BODY)
        assert found.status == (204 if how == "with no body" else 200)
        assert await whole(found) == body


@KIND
async def test_what_is_sent_and_what_is_told(kind: str) -> None:
    """The body with its length, the headers of the backend; of the answer its status and headers, the first of each."""
    told = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nretry-after: 9\r\nContent-Type: Text/Plain; charset=x\r\n"
    async with asking(kind, sends(told + b"content-length: 0\r\n\r\n")) as (server, transport):
        found = await transport.post(server.url, BODY)
        await whole(found)
        (received,) = server.received
    assert (found.status, found.headers.get("retry-after")) == (429, "7")
    assert media_type(found.headers) == "text/plain"
    assert (received.target, received.body) == ("/v1/chat/completions", BODY)
    assert received.headers["host"] == server.url.split("/")[2]
    assert received.headers["authorization"] == "Bearer k"
    assert received.headers["user-agent"] == "forebay"


CUT: dict[str, Script] = {
    "no answer": sends_and_leaves(b""),
    "in the head": sends_and_leaves(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "in the body": sends_and_leaves(response(b"four")[:-1]),
    "in a chunk": sends_and_leaves(CHUNKED + b"4\r\nfo"),
    "before the last chunk": sends_and_leaves(CHUNKED + chunk(b"four")),
    "no HTTP": sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "no length": sends(CHUNKED + b"many\r\n"),
    "a head without end": sends(b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"x" * 200_000),
}


@KIND
@pytest.mark.parametrize("how", CUT)
async def test_an_answer_that_is_none_is_severed(kind: str, how: str) -> None:
    """Half an answer never passes for a whole one."""
    async with asking(kind, CUT[how]) as (server, transport):
        with pytest.raises(Severed):
            await whole(await transport.post(server.url, BODY))


@KIND
async def test_one_connection_carries_many_requests(kind: str) -> None:
    """One after the other; two at the same time need two."""
    async with asking(kind, sends(response(b"four"))) as (server, transport):
        for _ in range(3):
            await whole(await transport.post(server.url, BODY))
        assert server.connections == 1
        for found in await asyncio.gather(*(transport.post(server.url, BODY) for _ in range(2))):
            await whole(found)
        await whole(await transport.post(server.url, BODY))
        assert server.connections == 2


LEFT: dict[str, tuple[Script, bool]] = {
    "its body was not read": (sends(CHUNKED, chunk(b"four")), False),
    "it asks for it": (sends(response(b"four", headers={"connection": "close"})), True),
    "it sent more than an answer": (sends(response(b"four") + response(b"five")), True),
}


@KIND
@pytest.mark.parametrize("why", LEFT)
async def test_a_connection_that_cannot_be_used_again_is_closed(kind: str, why: str) -> None:
    """What is left on it would be taken for the next answer."""
    script, read = LEFT[why]
    async with asking(kind, script) as (server, transport):
        found = await transport.post(server.url, BODY)
        if read:
            await whole(found)
        else:
            found.release()
        again = await transport.post(server.url, BODY)
        assert await again.readany() == b"four"
        again.close()
        assert server.connections == 2


@KIND
async def test_a_connection_that_the_server_closed_is_not_used(kind: str) -> None:
    """A server ends what is idle for long; a new one is made."""
    async with asking(kind, sends_and_leaves(response(b"four"))) as (server, transport):
        for count in (1, 2):
            assert await whole(await transport.post(server.url, BODY)) == b"four"
            await server.left.wait()
            await turns()
            assert server.connections == count


@KIND
@pytest.mark.parametrize("begun", [False, True])
async def test_to_be_cancelled_is_to_hang_up(kind: str, *, begun: bool) -> None:
    """Before the head by itself, and after it by `close`: the other side need not go on."""

    async def script(caller: Caller) -> None:
        if begun:
            await caller.send(CHUNKED, chunk(b"four"))
        await caller.hung_up()

    async with asking(kind, script) as (server, transport):
        if begun:
            found = await transport.post(server.url, BODY)
            assert await found.readany() == b"four"
            found.close()
        else:
            call = asyncio.create_task(transport.post(server.url, BODY))
            await server.asked.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await server.left.wait()


@KIND
async def test_to_give_back_twice_does_not_touch_the_next_request(kind: str) -> None:
    """The connection may be somebody else's by then."""
    async with asking(kind, sends(response(b"four"))) as (server, transport):
        first = await transport.post(server.url, BODY)
        await whole(first)
        second = await transport.post(server.url, BODY)
        first.release()
        first.close()
        assert await whole(second) == b"four"
        assert server.connections == 1


@KIND
async def test_what_nobody_reads_stays_at_the_other_side(kind: str) -> None:
    """A stream that is faster than its reader is not collected in memory."""
    sent = 0

    async def script(caller: Caller) -> None:
        nonlocal sent
        await caller.send(CHUNKED)
        for _ in range(200):
            await caller.send(chunk(b"x" * 100_000))
            sent += 100_000
        await caller.send(chunk(b""))

    async with asking(kind, script) as (server, transport):
        found = await transport.post(server.url, BODY)
        before = -1
        while sent != before:
            before = sent
            await turns()
        assert before < 10_000_000
        assert len(await whole(found)) == 20_000_000


@KIND
async def test_nobody_there(kind: str) -> None:
    """It is known that nothing was sent."""
    transport = KINDS[kind]()
    with pytest.raises(NotConnected) as caught:
        await transport.post(f"http://127.0.0.1:{unused_port()}/", BODY)
    assert not caught.value.lasting
    with pytest.raises(NotConnected):
        await transport.post("http://no-such-host.invalid/", BODY)
    await transport.close()


async def test_plain_connections_are_closed_in_time() -> None:
    """After `close` those that are in use are not kept either."""
    async with asking("plain", sends(response(b"four"))) as (server, transport):
        kept, used = [await transport.post(server.url, BODY) for _ in range(2)]
        await whole(kept)
        await transport.close()
        await server.left.wait()
        server.left.clear()
        assert await whole(used) == b"four"
        await server.left.wait()


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
def test_a_header_cannot_bring_another(value: str) -> None:
    """A key that holds a line end was copied wrongly, and would change the request."""
    with pytest.raises(ValueError, match="authorization"):
        PlainTransport(1.0, {"authorization": value})


URLS = {
    "http://127.0.0.1:8000/v1/chat/completions": True,
    "http://engine-1.internal/v1": True,
    "http://[::1]:8000/v1": True,
    "http://localhost": True,
    "https://127.0.0.1:8000/v1": False,
    "http://user:word@host/v1": False,
    "http://bücher.example/v1": False,
    "http://host/a b": False,
    "http://host/a\r\nx: y": False,
    "http://host:80\n": False,
}


@pytest.mark.parametrize(("url", "clear"), URLS.items())
def test_what_a_bare_socket_will_do_for(url: str, *, clear: bool) -> None:
    """Nothing that needs encoding, credentials or encryption."""
    assert in_the_clear(url) is clear


async def test_requests_of_one_turn_leave_together() -> None:
    """Whoever serves them all is woken by the first, and finds the others there as well."""
    transport = PlainTransport(5.0, {})
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        first = [asyncio.create_task(transport.post(url, BODY)) for _ in range(3)]
        await turns()
        connections = [server.accept()[0] for _ in first]
        for connection in connections:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(1_000).endswith(BODY)
            connection.sendall(response(b""))
        for task in first:
            await whole(await task)
        second = [asyncio.create_task(transport.post(url, BODY)) for _ in range(3)]
        seen: list[int] = []
        while sum(seen[-1:]) < len(second):
            await asyncio.sleep(0)
            seen.append(sum(_has_come(each) for each in connections))
        assert set(seen) == {0, 3}
        for connection in connections:
            connection.close()
        await asyncio.wait(second)
        assert all(isinstance(task.exception(), Severed) for task in second)
    await transport.close()


def _has_come(connection: socket.socket) -> bool:
    """Whether there is something to be read."""
    return bool(select.select([connection], [], [], 0)[0])
