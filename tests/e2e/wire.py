"""A client that is in charge of every byte: what is sent, what has come, and when the connection goes."""

import json
import select
import socket
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class Wire(AbstractContextManager["Wire"]):
    """One connection to a gateway."""

    def __init__(self, url: str, timeout: float = 20.0) -> None:
        place = urlsplit(url)
        assert place.hostname is not None
        assert place.port is not None
        self.host = f"{place.hostname}:{place.port}"
        self._socket = socket.create_connection((place.hostname, place.port), timeout)
        self._came = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self._socket.sendall(data)

    def post(self, body: Mapping[str, Any] | bytes, headers: Mapping[str, str] | None = None) -> None:
        """A chat request."""
        raw = body if isinstance(body, bytes) else json.dumps(body, default=dict).encode()
        found = {
            "host": self.host,
            "content-type": "application/json",
            "content-length": str(len(raw)),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in found.items())
        self.send(f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + raw)

    def silent(self) -> bool:
        """Whether nothing at all has come that was not read yet."""
        return not self._came and not select.select([self._socket], [], [], 0)[0]

    def until(self, wanted: bytes) -> bytes:
        """Everything up to and with these bytes; fails when the connection ends without them."""
        while wanted not in self._came:
            data = self._socket.recv(65536)
            assert data, f"the connection ended before {wanted!r}: {self._came[-500:]!r}"
            self._came += data
        end = self._came.index(wanted) + len(wanted)
        found, self._came = self._came[:end], self._came[end:]
        return found

    def rest(self) -> bytes:
        """Everything to the end of the connection."""
        try:
            while data := self._socket.recv(65536):
                self._came += data
        except ConnectionResetError:
            found, self._came = self._came, b""
            return found
        found, self._came = self._came, b""
        return found

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """A response with a content-length: status, headers, body."""
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        length = int(headers.get("content-length", "0"))
        while len(self._came) < length:
            data = self._socket.recv(65536)
            assert data, "the connection ended in the body"
            self._came += data
        body, self._came = self._came[:length], self._came[length:]
        return int(head[0].split(" ")[1]), headers, body

    def hang_up(self) -> float:
        """Close, and say when, on the monotonic clock that processes of a box share."""
        self._socket.close()
        return time.monotonic()


def unchunked(raw: bytes) -> bytes:
    """The body of a response in chunks, of which the end may be missing."""
    _, _, rest = raw.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size or b"0", 16)
        body += rest[:length]
        rest = rest[length + 2 :]
    return body
