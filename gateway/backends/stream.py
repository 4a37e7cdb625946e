"""A streamed answer over HTTP: events in, pieces of choices out.

A stream ends well only when every choice has a finish reason *and* `[DONE]` or a clean end of the body has come.
Anything else is an error: a cut connection must never look like a finished answer.
"""

import asyncio
from contextlib import suppress

import aiohttp
import msgspec

from gateway.errors import Broken, TimedOut
from gateway.messages import Delta, Usage
from gateway.wire.openai_upstream import Chunk, decode_chunk, usage
from gateway.wire.sse import DONE, EventTooLong, SseDecoder

_LAST_BYTES_S = 0.02


class EventStream:
    """One open answer; see `ports.AnswerStream`."""

    def __init__(self, name: str, response: aiohttp.ClientResponse, first: float, idle_s: float, until: float) -> None:
        """`first` and `until` are deadlines on the loop's clock: for the first piece, and for all of it."""
        self._name = name
        self._response = response
        self._content = response.content
        self._clock = asyncio.get_running_loop().time
        self._first = first
        self._idle_s = idle_s
        self._until = until
        self._decoder = SseDecoder()
        self._started = False
        self._ended = False
        self._failure: Broken | None = None
        self._open_choices: set[int] = set()
        self._seen_finish = False
        self.model = ""
        self.usage = Usage()

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
        """Read past [DONE]: the end of the body follows in a packet of its own, and a connection that is left
        before it cannot be used again. Who does not send it in time pays with a new connection.
        """
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(_LAST_BYTES_S):
                while await self._content.readany():
                    continue

    async def _read(self) -> bytes:
        stage = "idle" if self._started else "first_token"
        pause = self._clock() + self._idle_s if self._started else self._first
        if pause >= self._until:
            stage, pause = "total", self._until
        try:
            async with asyncio.timeout_at(pause):
                return await self._content.readany()
        except TimeoutError as error:
            raise TimedOut(f"{self._name}: the stream fell silent", stage=stage) from error
        except aiohttp.ClientError as error:
            raise Broken(f"{self._name}: the stream broke ({type(error).__name__})") from error

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
        try:
            for event in self._decoder.feed(data):
                if event == DONE:
                    self._end("sent [DONE]")
                    break
                self._take(decode_chunk(event), deltas)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EventTooLong) as error:
            raise Broken(f"{self._name} sent an event that is not one of this API") from error

    def _take(self, chunk: Chunk, deltas: list[Delta]) -> None:
        if chunk.error is not None:
            raise Broken(f"{self._name} broke off with an error event")
        if chunk.model:
            self.model = chunk.model
        if chunk.usage is not None:
            self.usage = usage(chunk.usage)
        for delta in chunk.deltas():
            if delta.finish_reason is None:
                self._open_choices.add(delta.index)
            else:
                self._open_choices.discard(delta.index)
                self._seen_finish = True
            deltas.append(delta)

    def _end(self, how: str) -> None:
        if self._open_choices or not self._seen_finish:
            raise Broken(f"{self._name} {how} before the answer had a finish reason")
        self._ended = True
