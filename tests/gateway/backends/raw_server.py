"""A server that sends exactly the bytes it is told to, when it is told to, and sees when the other side hangs up."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any, NamedTuple

PATIENCE_S = 5.0
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Received(NamedTuple):
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes


class Caller:
    """One connection, with a request on it that waits for an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a packet of its own, as far as anybody can arrange that."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def hung_up(self) -> None:
        """Returns when the other side has closed the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(65536):
                continue

    def reset(self) -> None:
        """Break the connection off, without a goodbye."""
        self._writer.transport.abort()


Script = Callable[[Caller], Awaitable[None]]


class RawServer:
    """What it was sent, and how many connections were made. `script` answers each request."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.received: list[Received] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def running(self, bound: socket.socket | None = None) -> AsyncIterator["RawServer"]:
        """Listening on a loopback port, or on this socket."""
        where = {"host": "127.0.0.1", "port": 0} if bound is None else {"sock": bound}
        server = await asyncio.start_server(self._accept, **where)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while request := await _request(reader):
                    self.received.append(request)
                    self.asked.set()
                    await self._script(Caller(reader, writer))
        finally:
            self.left.set()
            writer.close()


async def _request(reader: asyncio.StreamReader) -> Received | None:
    """The next request on a connection; None when it was closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split(" ")[1], headers, body)


def response(body: bytes, status: str = "200 OK", headers: Mapping[str, str] = NO_HEADERS) -> bytes:
    """A whole response with its length."""
    named = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def answer(text: str = "hi", **fields: object) -> bytes:
    """The body of a plain answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return json.dumps({"model": "m-1", "choices": [choice], "usage": usage, **fields}).encode()


def stream_head(content_type: str = "text/event-stream", headers: str = "") -> bytes:
    """The head of a response in chunks."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{headers}transfer-encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a response in chunks; of nothing, its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(payload: Mapping[str, Any] | bytes) -> bytes:
    """One event."""
    return b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"


def piece(text: str | None = None, finish_reason: str | None = None, index: int = 0) -> bytes:
    """The event of one piece of an answer."""
    delta = {} if text is None else {"content": text}
    return event({"model": "m-1", "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]})


USAGE = event({"model": "m-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
DONE = event(b"[DONE]")
GOOD = (piece("a"), piece("b"), piece(finish_reason="stop"), USAGE, DONE)
"""The events of an answer "ab"."""
