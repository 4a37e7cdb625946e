"""As much of HTTP/1.1 as a server needs that must be able to break every rule of it."""

import asyncio
from dataclasses import dataclass

_MAX_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its whole body; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader, begun: bytes = b"") -> Request | None:
    """The next request of a connection, of which `begun` was read already; None at its end."""
    try:
        head = begun + await reader.readuntil(b"\r\n\r\n")
        request_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Request(method, path, headers, body)


def head(status: int, headers: dict[str, str]) -> bytes:
    """A status line and headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode("latin-1")


def whole(status: int, body: bytes, headers: dict[str, str]) -> bytes:
    """A response with its length."""
    return head(status, {"content-length": str(len(body)), **headers}) + body


def chunk(data: bytes) -> bytes:
    """One chunk of a body whose length is not known."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
