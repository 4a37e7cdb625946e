"""Doing to a connection what a behaviour says, and billing what was generated for it."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from tests.faults import answers, message_answers
from tests.faults.answers import Response, words
from tests.faults.behaviours import Behaviour, Bill, ClosesReused, Raw, Says, Status
from tests.faults.book import Book, OpenCall
from tests.faults.http1 import whole

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Speech(Protocol):
    """How an API says things; see `answers`, and `message_answers` for Anthropic's."""

    def respond(self, says: Says, call: dict[str, Any]) -> Response:
        """The response to a call."""

    def prompt_tokens(self, call: dict[str, Any]) -> int:
        """The tokens of a prompt."""

    def counts(self, says: Says, call: dict[str, Any]) -> tuple[int, int]:
        """The tokens of a prompt and of its whole answer."""

    def failed(self, status: Status) -> bytes:
        """An error."""


_MESSAGES = "/v1/messages"
_COUNT = "/v1/messages/count_tokens"
_SPEECHES: MappingProxyType[str, Speech] = MappingProxyType({_MESSAGES: message_answers, _COUNT: message_answers})


class BrokenOff(Exception):
    """This server breaks the connection; what can be sent has been sent."""


@dataclass(slots=True)
class Line:
    """One connection of a caller. `calls` counts those it has carried, the present one included."""

    writer: asyncio.StreamWriter
    number: int
    calls: int = 0
    sent: int = 0

    async def send(self, data: bytes, says: Says | None = None) -> None:
        """Send all of it, or as far as `says` lets it go."""
        limit = None if says is None or says.reset_at is None else max(0, says.reset_at - self.sent)
        await self._flow(data[:limit], None if says is None else says.bytes_per_s)
        if limit is not None and limit <= len(data):
            self.reset()
            raise BrokenOff

    def reset(self) -> None:
        """RST instead of FIN."""
        found: socket.socket = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()

    async def _flow(self, data: bytes, per_s: int | None) -> None:
        step = len(data) if per_s is None else 1
        for start in range(0, len(data), step or 1):
            self.writer.write(data[start : start + step])
            await self.writer.drain()
            self.sent += step
            if per_s is not None:
                await asyncio.sleep(1 / per_s)


class Player:
    """Answers one call."""

    def __init__(self, book: Book, call: OpenCall, line: Line) -> None:
        self._book = book
        self._call = call
        self._line = line
        self._words = 0
        self._speech = _SPEECHES.get(call.path, answers)

    async def play(self, behaviour: Behaviour) -> None:
        """Answer, or fail to. Raises BrokenOff where the connection is of no more use."""
        if self._call.problem is not None:
            behaviour = Status(status=400, message=self._call.problem)
        match behaviour:
            case Status():
                await self._status(behaviour)
            case Raw():
                await self._raw(behaviour)
            case ClosesReused():
                if self._line.calls > 1:
                    self._call.end("broken_off", None)
                    raise BrokenOff
                await self._says(Says(text=behaviour.text))
            case Says() if self._call.path == _COUNT:
                self._call.end("answered", None)
                await self._line.send(message_answers.counted(self._call.asked))
            case Says():
                await self._says(behaviour)

    def client_left(self) -> None:
        """The caller hung up: it pays for what was generated."""
        self._call.end("client_left", self._so_far())

    async def _status(self, status: Status) -> None:
        self._call.end("answered", None)
        await self._line.send(self._speech.failed(status))

    async def _raw(self, raw: Raw) -> None:
        self._words = len(words(raw.body))
        self._call.end("answered", self._so_far())
        await self._line.send(whole(200, raw.body.encode("latin-1"), {"content-type": raw.content_type}))

    async def _says(self, says: Says) -> None:
        response = self._speech.respond(says, self._call.asked)
        try:
            if await self._over(says, response, -1):
                return
            await self._line.send(response.head.data, says)
            if await self._over(says, response, 0):
                return
            for number, piece in enumerate(response.pieces, start=1):
                self._words += piece.words
                await self._line.send(piece.data, says)
                if await self._over(says, response, number):
                    return
                if says.pause_s:
                    await asyncio.sleep(says.pause_s)
            await self._finish(says, response)
        except BrokenOff:
            self._call.end("broken_off", self._so_far())
            raise

    async def _over(self, says: Says, response: Response, pieces: int) -> bool:
        """At this point of the answer: wait to be released, fall silent, break, or end it short of its end."""
        if says.hold is not None and says.hold_after == pieces:
            await self._book.held(self._call, says.hold)
        if says.after != pieces:
            return False
        if says.ends == "silence":
            await asyncio.Event().wait()
        if says.ends == "reset":
            self._line.reset()
        if says.ends in ("reset", "close"):
            raise BrokenOff
        if says.ends == "eof" or says.ends not in response.broken:
            return False
        self._call.end("broken_off", self._so_far())
        await self._line.send(response.broken[says.ends])
        return True

    async def _finish(self, says: Says, response: Response) -> None:
        prompt, completion = self._speech.counts(says, self._call.asked)
        self._call.end("answered", self._book.bill(self._call.model, prompt, completion, says.cached_tokens))
        eof = says.ends == "eof" and "eof" in response.broken
        await self._line.send(response.broken["eof"] if eof else response.ending.data, says)

    def _so_far(self) -> Bill:
        return self._book.bill(self._call.model, self._speech.prompt_tokens(self._call.asked), self._words, 0)
