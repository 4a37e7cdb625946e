"""One HTTP exchange: the body, the connection's life, and a reply that may still turn into an error."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from local_models.llama.errors import RequestError
from local_models.llama.objects import error_json, event

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of a request body."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class DisconnectedError(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises RequestError (413) as soon as it is known to be too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            raise RequestError(413, "body_too_large", f"the body is over the limit of {MAX_BODY:,} bytes", param="body")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def while_connected(receive: Receive, work: Awaitable[None]) -> None:
    """Await `work`, and cancel it as soon as the client closes the connection.

    Nothing else says so: uvicorn's `send` accepts whatever is sent to a client that has gone.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task_done = task.done()
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
    if task_done:
        task.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Reply:
    """The response to one request: whole, or events that may still end in an error."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False

    async def json(self, status: int, body: bytes) -> None:
        """A whole JSON response."""
        await self.whole(status, body, b"application/json")

    async def whole(self, status: int, body: bytes, kind: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """A whole response."""
        self._started = True
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *extra]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def events(self, body: bytes, *, more: bool = True) -> None:
        """Some server-sent events; the first ones begin the response."""
        if not body:
            return
        if not self._started:
            self._started = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def error(self, error: RequestError) -> None:
        """An error response or, once events have been sent, an error event that ends the stream without `[DONE]`."""
        if self._started:
            await self.events(event(error_json(error)), more=False)
            return
        extra = ((b"retry-after", str(error.retry_after).encode()),) if error.retry_after is not None else ()
        await self.whole(error.status, error_json(error), b"application/json", extra)
