"""A provider that does what it is told: `python -m tests.faults.server`.

It listens on two loopback ports and prints them. Callers get OpenAI's chat API with whatever faults were programmed,
Anthropic's at its path, and the probes of an engine (/health, /v1/models, /metrics). The control port takes programs
and gives calls and bills; `handle.FaultServer` speaks it. `strict` is the same server, which takes only good bodies.
"""

import asyncio
import json
import signal
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import formatdate
from itertools import count

import msgspec

from tests.faults.behaviours import Door, Price, Program, Wanted
from tests.faults.book import Book, Judge
from tests.faults.http1 import Request, read_request, whole
from tests.faults.play import BrokenOff, Line, Player

_JSON = {"content-type": "application/json"}.items()
_METRICS = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"


class Callers:
    """The port of the API."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._numbers = count()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, call after call."""
        # Nothing is kept back. Of 0 a TLS transport would say that the buffer is always full.
        writer.transport.set_write_buffer_limits(1)
        line = Line(writer, next(self._numbers))
        begun = b""
        try:
            while (request := await read_request(reader, begun)) is not None:
                if request.method == "POST":
                    begun = await self._call(request, reader, line)
                else:
                    begun = b""
                    await line.send(self._probe(request))
        except (BrokenOff, ConnectionError) as end:
            sys.stderr.write(f"connection {line.number}: {type(end).__name__}\n")
        finally:
            if line.calls:
                self._book.connected(-1)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _call(self, request: Request, reader: asyncio.StreamReader, line: Line) -> bytes:
        """Answer one call, unless the caller hangs up; what it has sent meanwhile is the next one's beginning."""
        if not line.calls:
            self._book.connected(1)
        line.calls += 1
        line.sent = 0
        call = self._book.arrived(request, line.number)
        player = Player(self._book, call, line)
        playing = asyncio.ensure_future(player.play(self._book.behaviour(call.model)))
        watching = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((playing, watching), return_when=asyncio.FIRST_COMPLETED)
            if not playing.done() and watching.result() == b"":
                raise ConnectionResetError
            await playing
        except ConnectionError:
            player.client_left()
            raise
        finally:
            for task in (playing, watching):
                task.cancel()
            await asyncio.wait((playing, watching))
        return b"" if watching.cancelled() or watching.exception() else watching.result()

    def _probe(self, request: Request) -> bytes:
        status, path = self._book.health, request.path.partition("?")[0]
        if path == "/health":
            return whole(status, b'{"status": "ok"}' if status == 200 else b'{"status": "loading"}', dict(_JSON))
        if path == "/v1/models":
            return self._list(request)
        if path == "/metrics":
            return whole(200, _METRICS.encode(), {"content-type": "text/plain"})
        return whole(404, b"{}", dict(_JSON))

    def _list(self, request: Request) -> bytes:
        """The models, for whoever has the key."""
        status, door = self._book.health, self._book.door
        shown = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if door.key is not None and shown != door.key:
            status = 401
        date = {} if door.ahead_s is None else {"date": formatdate(time.time() + door.ahead_s, usegmt=True)}
        models = [{"id": name, "object": "model"} for name in door.models] if status == 200 else []
        return whole(status, json.dumps({"object": "list", "data": models}).encode(), {**dict(_JSON), **date})


class Control:
    """The port of the tests."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._routes: dict[str, Callable[[bytes], object]] = {
            "/program": lambda body: book.program(msgspec.json.decode(body, type=Program)),
            "/prices": lambda body: book.prices.update(msgspec.json.decode(body, type=dict[str, Price])),
            "/release": lambda body: book.release(json.loads(body)),
            "/health": self._set_health,
            "/door": self._set_door,
            "/reset": lambda _: book.reset(),
            "/state": lambda _: book.state(),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, order after order."""
        try:
            while (request := await read_request(reader)) is not None:
                if request.path == "/wait":
                    found: object = await self._book.wait(msgspec.json.decode(request.body, type=Wanted))
                else:
                    found = self._routes[request.path](request.body)
                writer.write(whole(200, msgspec.json.encode(found), dict(_JSON)))
                await writer.drain()
        finally:
            writer.close()

    def _set_door(self, body: bytes) -> None:
        self._book.door = msgspec.json.decode(body, type=Door)

    def _set_health(self, body: bytes) -> None:
        self._book.health = int(json.loads(body))


async def main(certificate: Sequence[str], judge: Judge | None = None) -> None:
    """Serve until SIGTERM; over TLS where the files of a certificate and its key are given."""
    book = Book(judge)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if tls is not None:
        tls.load_cert_chain(*certificate)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    callers = await asyncio.start_server(Callers(book).serve, "127.0.0.1", 0, backlog=512, ssl=tls)
    control = await asyncio.start_server(Control(book).serve, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (callers, control)]
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await stop.wait()
    callers.close()
    control.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
