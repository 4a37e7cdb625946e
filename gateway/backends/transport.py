"""HTTP as backends need it: one POST, and the answer as it arrives.

Two things carry it. `PlainTransport` is our own HTTP/1.1 over a bare socket, for addresses in the clear, which engines
on this box have: it takes 20 µs of CPU for a request where aiohttp takes 98, and a chat request on the light tier is
to cost 600 in all. Everything else (https, proxies, names that are not ASCII) goes through aiohttp.
"""

import re
from collections.abc import Mapping
from typing import Protocol

_CLEAR = re.compile(
    r"http://[A-Za-z0-9._-]+(?::\d{1,5})?(?:/[!-~]*)?|http://\[[0-9A-Fa-f:.]+\](?::\d{1,5})?(?:/[!-~]*)?"
)
KEEP_IDLE_S = 20.0
"""How long a connection is kept that nobody uses: shorter than most servers keep theirs would be better still, but
they say nothing of it."""


class TransportError(Exception):
    """The other side could not be reached, or the connection did not hold."""


class ConnectTimedOut(TransportError):
    """No connection came about in time; nothing was sent."""


class NotConnected(TransportError):
    """No connection came about; nothing was sent. `lasting`: asking again would not help."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


class Severed(TransportError):
    """The connection broke, or what came over it was no HTTP; the request may have been worked on."""


class Response(Protocol):
    """An answer whose head is there. Names in `headers` are looked up in lower case."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers; of those that stand there twice the first."""

    async def readany(self) -> bytes:
        """What has come since the last call, at least one byte; empty at the end of the body. Raises Severed."""

    def release(self) -> None:
        """Whoever is done with it gives its connection back, which is kept if the body has been read to its end."""

    def close(self) -> None:
        """Close its connection, unless it was released."""


class Transport(Protocol):
    """Connections to a backend."""

    async def post(self, url: str, body: bytes) -> Response:
        """Send `body` and wait for the head of the answer. Raises TransportError; hangs up when cancelled."""

    async def close(self) -> None:
        """Close every connection."""


def in_the_clear(url: str) -> bool:
    """Whether a URL is one that needs no more than a socket: http, a plain host, no credentials, printable ASCII."""
    return _CLEAR.fullmatch(url) is not None


def media_type(headers: Mapping[str, str]) -> str:
    """What kind of thing the body is, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
