"""A load generator that costs little itself: raw sockets, keep-alive, a fixed number of connections.

usage: python overhead_load.py HOST PORT CONNECTIONS SECONDS  (the request body on standard input)
Prints JSON: seconds, and latencies in milliseconds. An answer other than 200, one that breaks off, and a stream that
does not end in [DONE] end it with an error.
"""

import asyncio
import functools
import json
import sys
import time
from typing import cast

import uvloop

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class WrongAnswerError(Exception):
    """An answer is not what it should be."""


class Caller(asyncio.Protocol):
    """One connection, which asks again as soon as it was answered, until the time is up."""

    def __init__(self, request: bytes, until: float, latencies: list[float]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._latencies = latencies
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._wanted: int | None = None
        self._streamed = False
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._ask()

    def data_received(self, data: bytes) -> None:
        """A piece of an answer."""
        self._received += data
        if self._wanted is None and not self._read_head():
            return
        if self._complete():
            self._latencies.append((time.perf_counter() - self._began) * 1000)
            self._ask()

    def connection_lost(self, _error: Exception | None) -> None:
        """No answer will come any more."""
        self._fail("the connection broke")

    def _ask(self) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        if self._began >= self._until:
            self.over.set_result(None)
            self._transport.close()
            return
        self._received, self._wanted = b"", None
        self._transport.write(self._request)

    def _read_head(self) -> bool:
        """Whether the head has come; the body's length is then known, 0 for one that comes in chunks."""
        head, separator, rest = self._received.partition(_HEAD_END)
        if not separator:
            return False
        head = head.lower()
        if not head.startswith(b"http/1.1 200"):
            self._fail("unexpected answer")
            return False
        self._received = rest
        self._streamed = b"text/event-stream" in head
        chunked = b"transfer-encoding: chunked" in head
        self._wanted = 0 if chunked else int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return True

    def _complete(self) -> bool:
        if self._wanted:
            return len(self._received) >= self._wanted
        if not self._received.endswith(_LAST_CHUNK):
            return False
        if self._streamed and b"[DONE]" not in self._received[-200:]:
            self._fail("a stream without its end")
            return False
        return True

    def _fail(self, how: str) -> None:
        if not self.over.done():
            self.over.set_exception(WrongAnswerError(f"{how}: {self._received[-1000:]!r}"))


async def _main() -> None:
    host, port, connections, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    body = sys.stdin.buffer.read()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer bench-key\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    latencies: list[float] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    make = functools.partial(Caller, head.encode() + body, began + seconds, latencies)
    opened = [await loop.create_connection(make, host, port) for _ in range(connections)]
    await asyncio.gather(*(caller.over for _, caller in opened))
    print(json.dumps({"seconds": time.perf_counter() - began, "latencies_ms": latencies}))


if __name__ == "__main__":
    uvloop.run(_main())
