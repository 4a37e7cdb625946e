"""Answers leave in as few packets as they can, and none of them stays here."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.server.http import Receive, Scope, Send
from gateway.server.protocol import OneWriteProtocol

Message = dict[str, Any]
LENGTH = (b"content-length", b"4")
WHOLE: Message = {"type": "http.response.body", "body": b"four"}


class Written(asyncio.Transport):
    """A transport that keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One write."""
        assert not self.closed
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def pause_reading(self) -> None:
        """There is nothing to read."""

    def resume_reading(self) -> None:
        """There is nothing to read."""


def start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    """A head."""
    return {"type": "http.response.start", "status": status, "headers": headers}


def more(body: bytes) -> Message:
    """A piece of a body."""
    return {"type": "http.response.body", "body": body, "more_body": True}


async def answered(*messages: Message, request: bytes = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") -> Written:
    """What is written for a request whose answer is these messages."""
    over = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        over.set()

    config = uvicorn.Config(app, http=OneWriteProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    protocol = OneWriteProtocol(config=config, server_state=ServerState(), app_state={})
    transport = Written()
    protocol.connection_made(transport)
    protocol.data_received(request)
    await over.wait()
    await asyncio.sleep(0)
    protocol.connection_lost(None)
    return transport


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
MISSING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\n"
LAST: Message = {"type": "http.response.body"}

ANSWERS: dict[str, tuple[Sequence[Message], list[bytes]]] = {
    "whole": ((start(200, LENGTH), WHOLE), [HEAD + b"four"]),
    "in pieces": (
        (start(200), more(b"a"), more(b"b"), LAST),
        [STREAM + b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"],
    ),
    "an error": ((start(404, LENGTH), WHOLE), [MISSING, b"four"]),
    "whose body looks like a head": (
        (start(200, (b"content-length", b"26")), more(b"HTTP/1.1 200 "), more(b"HTTP/1.1 200 "), LAST),
        [b"HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\nHTTP/1.1 200 ", b"HTTP/1.1 200 "],
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_head_goes_with_what_follows_it(name: str) -> None:
    """A whole answer is one write, a stream one for each piece, and no byte is lost or out of order."""
    messages, writes = ANSWERS[name]
    assert [each for each in (await answered(*messages)).writes if each] == writes


async def test_a_head_alone_goes_too() -> None:
    """When nothing follows it in the same turn of the loop, as for HEAD."""
    request = b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"
    assert (await answered(start(200, LENGTH), LAST, request=request)).writes == [HEAD]


async def test_nothing_is_held_back_when_the_connection_closes() -> None:
    """Who asked for the end gets the whole answer before it."""
    request = b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    transport = await answered(start(200, LENGTH), LAST, request=request)
    assert transport.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n"]
    assert transport.closed
