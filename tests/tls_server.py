"""A server over TLS in a thread of its own, which answers whatever is asked with the same bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.pki import Pair

_PIECE = 65536


class TlsServer:
    """`received` are requests, as far as their heads; `refused` says why callers broke off before they sent one."""

    def __init__(self, pair: Pair, answer: bytes) -> None:
        self._context = pair.server_context()
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.port: int = self._listening.getsockname()[1]
        self.received: list[bytes] = []
        self.refused: list[str] = []

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"https://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator["TlsServer"]:
        """Listening, to the end of the block; every connection is over then."""
        accepting = threading.Thread(target=self._accept, daemon=True)
        accepting.start()
        try:
            yield self
        finally:
            # A thread that waits in accept() is woken by this and not by close().
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            for thread in (accepting, *self._threads):
                thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                caller.settimeout(10)
                thread = threading.Thread(target=self._serve, args=(caller,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, caller: socket.socket) -> None:
        try:
            with caller, self._context.wrap_socket(caller, server_side=True) as secure:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = secure.recv(_PIECE)
                    if not data:
                        return
                    head += data
                self.received.append(head)
                secure.sendall(self._answer)
                # The rest of a body; the connection is closed when the caller has closed it.
                while secure.recv(_PIECE):
                    continue
        except OSError as error:
            self.refused.append(str(error))


@contextmanager
def tls_server(pair: Pair, answer: bytes) -> Iterator[TlsServer]:
    """One for the length of a block."""
    with TlsServer(pair, answer).running() as server:
        yield server
