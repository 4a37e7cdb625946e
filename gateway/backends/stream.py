"""A streamed answer over HTTP: events in, pieces of choices out.

A stream ends well only when every choice has a finish reason *and* the API's mark of the end or a clean end of the
body has come.
Anything else is an error: a cut connection must never look like a finished answer.
"""

import asyncio
from contextlib import suppress

import msgspec
from msgspec import Struct

from gateway.backends.line import Line
from gateway.backends.transport import Response, TransportError
from gateway.deadline import Deadline
from gateway.errors import Broken, TimedOut
from gateway.messages import Delta, Usage
from gateway.wire.sse import EventTooLong, SseDecoder
from gateway.wire.upstream import ErrorEvent, EventReader

_LAST_BYTES_S = 0.02


class Limits(Struct, frozen=True):
    """`first` and `until` are deadlines on the line's clock: for the first piece, and for all of it."""

    first: float
    idle_s: float
    until: float


class EventStream:
    """One open answer; see `ports.AnswerStream`."""

    def __init__(
        self,
        name: str,
        response: Response,
        reader: EventReader,
        limits: Limits,
        line: Line,
        pause_s: float = 0.0,
    ) -> None:
        self._name = name
        self._line = line
        self._response = response
        self._reader = reader
        self._limits = limits
        self.pause_s = pause_s
        self._decoder = SseDecoder()
        self._started = False
        self._ended = False
        self._failure: Broken | None = None

    @property
    def model(self) -> str:
        """What the backend says answers."""
        return self._reader.model

    @property
    def usage(self) -> Usage:
        """Tokens counted so far."""
        return self._reader.usage

    async def batch(self) -> list[Delta]:
        """The pieces that arrived since the last call; empty at a proper end."""
        while not self._ended:
            if self._failure is not None:
                raise self._failure
            data = await self._read()
            if not data:
                self._end("closed the connection")
                break
            deltas = self._pieces(data)
            if deltas:
                self._started = True
                return deltas
        await self._last_bytes()
        return []

    def close(self) -> None:
        """Hang up, unless the answer ended properly: then the connection is kept for the next one."""
        if self._ended:
            self._response.release()
        else:
            self._response.close()

    async def _last_bytes(self) -> None:
        """Read past the last event: the end of the body follows in a packet of its own, and a connection that is left
        before it cannot be used again. Who does not send it in time pays with a new connection.
        """
        with suppress(TimeoutError, TransportError), Deadline(asyncio.get_running_loop().time() + _LAST_BYTES_S):
            while await self._response.readany():
                continue

    async def _read(self) -> bytes:
        stage = "idle" if self._started else "first_token"
        limits = self._limits
        pause = self._line.time() + limits.idle_s if self._started else limits.first
        if pause >= limits.until:
            stage, pause = "total", limits.until
        try:
            return await self._line.within(self._response.readany, pause)
        except TimeoutError as error:
            raise TimedOut(f"{self._name}: the stream fell silent", stage=stage) from error
        except TransportError as error:
            raise Broken(f"{self._name}: the stream broke ({error})") from error

    def _pieces(self, data: bytes) -> list[Delta]:
        """What came before a break was said, and is billed: it goes out first, also when both came in one packet."""
        deltas: list[Delta] = []
        try:
            self._take_events(data, deltas)
        except Broken as error:
            if not deltas:
                raise
            self._failure = error
        return deltas

    def _take_events(self, data: bytes, deltas: list[Delta]) -> None:
        reader = self._reader
        try:
            for event in self._decoder.feed(data):
                reader.take(event, deltas)
                if reader.done:
                    self._end("ended the stream")
                    break
        except ErrorEvent as error:
            raise Broken(f"{self._name} broke off with an error event") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EventTooLong) as error:
            raise Broken(f"{self._name} sent an event that is not one of this API") from error

    def _end(self, how: str) -> None:
        if not self._reader.finished:
            raise Broken(f"{self._name} {how} before the answer had a finish reason")
        self._ended = True
