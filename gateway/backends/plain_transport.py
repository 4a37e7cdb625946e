"""HTTP/1.1 in the clear over a bare socket, for engines: a request costs a fifth of what it does through aiohttp.

One connection carries one exchange after the other and is kept in between. The parser is llhttp's, by httptools, which
uvicorn reads requests with. What an exchange needs no more goes back to the pool only if its answer was read to the
end; everything else closes the connection, and with it whatever the other side is still working on.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from gateway.backends.transport import KEEP_IDLE_S, ConnectTimedOut, NotConnected, Severed

_HTTP_PORT = 80
_LARGEST_HEAD = 64 * 1024
_UNREAD_MOST = 256 * 1024
_KNOWN_URLS = 64
_INFORMATIONAL = range(100, 200)


class _Target(NamedTuple):
    host: str
    port: int
    head: bytes
    """All of a request's head but the length of its body."""


class PlainTransport:
    """Connections to addresses in the clear (see `in_the_clear`). `headers` go with every request."""

    def __init__(self, connect_s: float, headers: Mapping[str, str]) -> None:
        """Raises ValueError for a header that would end before its time."""
        self._connect_s = connect_s
        self._headers = _header_lines({"user-agent": "forebay", "accept": "*/*", **headers})
        self._targets: dict[str, _Target] = {}
        self._idle: defaultdict[tuple[str, int], list[_Connection]] = defaultdict(list)
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(self, url: str, body: bytes) -> "Exchange":
        """See `Transport`."""
        target = self._targets.get(url) or self._target(url)
        connection = self._kept(target) or await self._connect(target)
        exchange = Exchange(connection)
        try:
            connection.send(exchange, b"%b%d\r\n\r\n%b" % (target.head, len(body), body))
            await exchange.begun()
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def close(self) -> None:
        """Close every connection that is not in use; the others when they are given back."""
        self._closed = True
        for connections in self._idle.values():
            for connection in tuple(connections):
                connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    def keep(self, connection: "_Connection") -> None:
        """Put a connection by for the next request."""
        if self._closed:
            connection.abort()
            return
        self._idle[connection.address].append(connection)
        if self._sweep is None:
            self._sweep = connection.loop.call_later(KEEP_IDLE_S, self._sweep_up)

    def forget(self, connection: "_Connection") -> None:
        """A connection is gone."""
        connections = self._idle[connection.address]
        if connection in connections:
            connections.remove(connection)
        if not connections:
            del self._idle[connection.address]

    def _kept(self, target: _Target) -> "_Connection | None":
        """The connection that was used last, for it is the likeliest to be wanted still at the other side."""
        connections = self._idle.get((target.host, target.port))
        while connections:
            connection = connections.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self, target: _Target) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, (target.host, target.port)), target.host, target.port
                )
        except TimeoutError as error:
            raise ConnectTimedOut("no connection in time") from error
        except OSError as error:
            raise NotConnected("cannot connect") from error
        return connection

    def _sweep_up(self) -> None:
        """Close what nobody has used for long; an engine that was started anew has another address."""
        self._sweep = None
        for connections in tuple(self._idle.values()):
            for connection in tuple(connections):
                if connection.idle_s >= KEEP_IDLE_S:
                    connection.abort()
        if any(self._idle.values()):
            self._sweep = asyncio.get_running_loop().call_later(KEEP_IDLE_S / 2, self._sweep_up)

    def _target(self, url: str) -> _Target:
        """An engine has another address after each start, so those that are remembered are few."""
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        assert parts.hostname is not None, url
        head = f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode("ascii") + self._headers + b"content-length: "
        if len(self._targets) >= _KNOWN_URLS:
            self._targets.clear()
        target = self._targets[url] = _Target(parts.hostname, parts.port or _HTTP_PORT, head)
        return target


class _Connection(asyncio.Protocol):
    """One socket. Bytes that come go to the exchange under way."""

    def __init__(self, pool: PlainTransport, address: tuple[str, int]) -> None:
        self.address = address
        self.loop = asyncio.get_running_loop()
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether the next request may be sent on it."""
        return self._transport is not None and not self._transport.is_closing() and self.idle_s < KEEP_IDLE_S

    @property
    def idle_s(self) -> float:
        """How long nobody has used it."""
        return self.loop.time() - self._idle_since

    def send(self, exchange: "Exchange", data: bytes) -> None:
        """Begin an exchange."""
        assert self._transport is not None
        self._exchange = exchange
        self._transport.write(data)

    def ended(self, *, keep: bool) -> None:
        """The exchange is over."""
        self._exchange = None
        if keep:
            self._idle_since = self.loop.time()
            self._pool.keep(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close it at once; nothing that is still unsent matters any more."""
        if self._transport is not None:
            self._transport.abort()

    def read_on(self, *, on: bool) -> None:
        """Take more from the socket, or leave it there, so that whoever sends it has to wait."""
        if self._transport is None:
            return
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent

    def data_received(self, data: bytes) -> None:
        """Bytes for the exchange; such that nobody has asked for end it."""
        if self._exchange is None:
            self.abort()
        else:
            self._exchange.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        """It is no more."""
        self._transport = None
        self._pool.forget(self)
        if self._exchange is not None:
            self._exchange.lost(error)


class Exchange:
    """A request that was sent and what has come of its answer; see `Response`. The parser calls the `on_` methods."""

    def __init__(self, connection: _Connection) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection: _Connection | None = connection
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
        self._waiter = asyncio.get_running_loop().create_future()
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


def _header_lines(headers: Mapping[str, str]) -> bytes:
    for name, value in headers.items():
        if not (name + value).isprintable():
            raise ValueError(f"header {name!r}: a value of one line is needed")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
