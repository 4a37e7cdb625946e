"""One request over a bare socket, and what comes of its answer.

The parser is llhttp's, by httptools, which uvicorn reads requests with.
"""

import asyncio
from typing import Protocol

import httptools

from gateway.backends.transport import Severed

_LARGEST_HEAD = 64 * 1024
_UNREAD_MOST = 256 * 1024
_INFORMATIONAL = range(100, 200)


class Wire(Protocol):
    """The connection that it is made on."""

    loop: asyncio.AbstractEventLoop

    def read_on(self, *, on: bool) -> None:
        """Take more from the socket, or leave it there."""

    def ended(self, *, keep: bool) -> None:
        """The exchange is over; `keep` the connection for another, or close it."""


class Exchange:
    """A request that was sent and what has come of its answer; see `Response`. The parser calls the `on_` methods."""

    def __init__(self, connection: Wire) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection: Wire | None = connection
        self._loop = connection.loop
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._unread = 0
        self._paused = False
        self._head_bytes = 0
        self._begun = False
        self._complete = False
        self._reusable = False
        self._failure: Severed | None = None

    async def begun(self) -> None:
        """Wait for the head. Raises Severed."""
        while not self._begun:
            if self._failure is not None:
                raise self._failure
            await self._more()

    async def readany(self) -> bytes:
        """See `Response`."""
        while not self._pieces:
            if self._complete:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._more()
        pieces, self._pieces, self._unread = self._pieces, [], 0
        if self._paused and self._connection is not None:
            self._paused = False
            self._connection.read_on(on=True)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> None:
        """See `Response`."""
        self._let_go(keep=self._reusable)

    def close(self) -> None:
        """See `Response`."""
        self._let_go(keep=False)

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        if not self._begun:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(type(error).__name__)
        if self._head_bytes > _LARGEST_HEAD and not self._begun:
            self._fail("the head of the answer has no end")
        self._wake()

    def lost(self, error: Exception | None) -> None:
        """The connection is gone: that ends a body without a length, and breaks every other answer."""
        self._reusable = False
        if not self._complete:
            if self._begun and error is None and self._ends_with_connection():
                self._complete = True
            else:
                self._fail("it was closed" if error is None else type(error).__name__)
        self._wake()

    def on_message_begin(self) -> None:
        """Another answer after the one that was asked for is no answer."""
        if self._complete:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """The head is whole; that of an informational answer is followed by another."""
        self.status = self._parser.get_status_code()
        if self.status in _INFORMATIONAL:
            self.headers.clear()
        else:
            self._begun = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)
        self._unread += len(body)
        if self._unread > _UNREAD_MOST and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.read_on(on=False)

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._begun:
            self._complete = True
            self._reusable = self._failure is None and self._parser.should_keep_alive()

    def _ends_with_connection(self) -> bool:
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    def _fail(self, how: str) -> None:
        self._reusable = False
        if not self._complete and self._failure is None:
            self._failure = Severed(how)

    async def _more(self) -> None:
        """Wait until something has come. Whoever is cancelled here loses nothing."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _let_go(self, *, keep: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._paused:
                connection.read_on(on=True)
            connection.ended(keep=keep)
