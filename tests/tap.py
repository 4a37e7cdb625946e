"""A place in between: it writes down what callers send, and passes it on or not."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PIECE = 65536


class Tap:
    """Listens on loopback. Callers' bytes go to `to`, or where their CONNECT says, or nowhere; they are all kept."""

    def __init__(self, to: int | None = None, *, proxy: bool = False, refuses: bool = False) -> None:
        """`to` is a loopback port; `proxy` obeys CONNECT; `refuses` answers it with an error."""
        self._to = to
        self._proxy = proxy
        self._refuses = refuses
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.heard: list[bytes] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Its address, as that of a proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        """All that was heard on all connections."""
        return b"\n".join(self.heard).decode("latin-1")

    def close(self) -> None:
        """Listen no more."""
        # A thread that waits in accept() is woken by this and not by close().
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                thread = threading.Thread(target=self._serve, args=(caller, len(self.heard)), daemon=True)
                self.heard.append(b"")
                self._threads.append(thread)
                thread.start()

    def _serve(self, caller: socket.socket, number: int) -> None:
        with caller, suppress(OSError):
            to = self._destination(caller, number)
            if to is None:
                while self._hear(caller, number):
                    pass
                return
            with socket.create_connection(("127.0.0.1", to)) as server:
                back = threading.Thread(target=_copy, args=(server, caller), daemon=True)
                back.start()
                while data := self._hear(caller, number):
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
                back.join(10)

    def _destination(self, caller: socket.socket, number: int) -> int | None:
        if not self._proxy:
            return self._to
        while b"\r\n\r\n" not in self.heard[number]:
            if not self._hear(caller, number):
                return None
        method, target, _ = self.heard[number].split(b" ", 2)
        if method != b"CONNECT" or self._refuses:
            caller.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return None
        caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return int(target.rpartition(b":")[2])

    def _hear(self, caller: socket.socket, number: int) -> bytes:
        data = caller.recv(_PIECE)
        self.heard[number] += data
        return data


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_PIECE):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def tapped(to: int | None = None, *, proxy: bool = False, refuses: bool = False) -> Iterator[Tap]:
    """A tap for the length of a block."""
    tap = Tap(to, proxy=proxy, refuses=refuses)
    try:
        yield tap
    finally:
        tap.close()
