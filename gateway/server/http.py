"""The little of HTTP that the request path needs, without a framework in between."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any

from gateway.deadline import Alarms, Deadline
from gateway.errors import ClientGone, Code, RequestError

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
# Proxies in between must neither buffer nor change a stream.
SSE = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HINT_PREFIX = b"x-forebay-"
_WATCH_AFTER_S = 0.05
_COME_BACK = (429, 503, 529)


class Headers:
    """What the request path reads of a request's headers; names are lower case."""

    def __init__(self, raw: Iterable[Header]) -> None:
        # Callers send many more than are read here: only those become text.
        self._found = dict(raw)
        self.hints = {
            name.removeprefix(_HINT_PREFIX).decode("latin-1"): value.decode("latin-1")
            for name, value in self._found.items()
            if name.startswith(_HINT_PREFIX)
        }

    def get(self, name: bytes) -> str | None:
        """The value of header `name`, the last one where it stands twice."""
        value = self._found.get(name)
        return None if value is None else value.decode("latin-1")

    def api_key(self) -> str | None:
        """The bearer token, or the x-api-key header."""
        scheme, _, token = (self.get(b"authorization") or "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else self.get(b"x-api-key")

    def request_id(self) -> str:
        """The caller's x-request-id where it is usable as an identifier, else a new one."""
        given = self.get(b"x-request-id") or ""
        return given if _REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """32 hex digits that sort by time. Unique, not secret: so not worth a system call for randomness."""
    return f"{time.time_ns():016x}{random.getrandbits(64):016x}"


async def read_body(headers: Headers, receive: Receive, limit: int, timeout_s: float, alarms: Alarms) -> bytes:
    """The whole body. Raises RequestError when it is too large, too slow or compressed, ClientGone when cut off."""
    if headers.get(b"content-encoding") not in (None, "identity"):
        raise RequestError(
            "compressed request bodies are not taken; send it as it is",
            code=Code.UNSUPPORTED_ENCODING,
            status=415,
            param="content-encoding",
        )
    declared = headers.get(b"content-length") or ""
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    try:
        with Deadline(alarms.clock.time() + timeout_s, alarms):
            return await _read(receive, limit)
    except TimeoutError as error:
        raise RequestError(
            f"the body did not arrive within {timeout_s:g} s", code=Code.BODY_TIMEOUT, status=408, param="body"
        ) from error


async def _read(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> RequestError:
    return RequestError(f"the body is larger than {limit} bytes", code=Code.BODY_TOO_LARGE, status=413, param="body")


class Hangup:
    """While inside, a caller who closes the connection cancels this task, and ClientGone comes out of the block.

    uvicorn's `send` says nothing after a disconnect; only `receive` does. Without somebody waiting there a
    generation would run to its end for nobody. The watch begins after a moment, because most answers that are
    quicker than it are over before anybody could hang up, and a task costs more than an alarm.
    """

    def __init__(self, receive: Receive, alarms: Alarms) -> None:
        self.when = 0.0
        """When the watch begins; see `Alarm`."""
        self._receive = receive
        self._alarms = alarms
        self._gone = False
        self._left = False
        self._task: asyncio.Task[Any] | None = None
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self.when = self._alarms.clock.time() + _WATCH_AFTER_S
        self._alarms.set(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._alarms.take_back(self)
        if self._watch is not None:
            self._watch.cancel()
        if self._gone and kind is not None and issubclass(kind, asyncio.CancelledError) and self._task is not None:
            self._task.uncancel()
            raise ClientGone from error

    def ring(self) -> None:
        """Begin to watch."""
        self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._left and self._task is not None:
            self._gone = True
            self._task.cancel()


async def respond(send: Send, status: int, headers: Iterable[Header], body: bytes) -> None:
    """One whole response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def respond_error(
    send: Send, status: int, body: bytes, headers: Iterable[Header], retry_after: float | None
) -> None:
    """An error, with `body` in the shape of the caller's API; whoever may come back is told when, in seconds."""
    extra = [JSON, *headers]
    if status in _COME_BACK:
        extra.append((b"retry-after", b"%d" % max(1, round(retry_after or 1))))
    await respond(send, status, extra, body)
