"""A real engine behind a place that passes everything on but its `/metrics`: those are what a test says they are."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Page = tuple[int, str]
_POLL_S = 0.01
_SECONDS = 120.0


class Forgery:
    """The place. `forge` makes of the engine's own page the one that is shown; `shown` counts those."""

    def __init__(self, http: httpx.Client) -> None:
        """`http` is a client of the engine."""
        self.http = http
        self.url = ""
        self.shown = 0
        self.forge: Callable[[str], Page] = _as_it_is


def _as_it_is(page: str) -> Page:
    return 200, page


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, forgery: Forgery, *arguments: object) -> None:
        self._forgery = forgery
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """A page, forged or not."""
        answer = self._forgery.http.get(self.path)
        status, text = answer.status_code, answer.text
        if self.path == "/metrics":
            status, text = self._forgery.forge(text)
            self._forgery.shown += 1
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """An answer, piece by piece; whoever asked and is gone takes it with him."""
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {"content-type": "application/json"}
        self.close_connection = True
        asked = self._forgery.http.stream("POST", self.path, content=body, headers=headers)
        with suppress(ConnectionError), asked as answer:
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("connection", "close")
            self.end_headers()
            for piece in answer.iter_raw():
                self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the standard library
        """Keep quiet."""


@contextmanager
def forged_metrics(engine: str) -> Iterator[Forgery]:
    """In front of the engine at this address."""
    http = httpx.Client(base_url=engine, timeout=_SECONDS, limits=httpx.Limits(max_connections=None), trust_env=False)
    forgery = Forgery(http)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, forgery))
    server.daemon_threads = True
    forgery.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
    thread.start()
    try:
        yield forgery
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        http.close()
