"""A streamed answer over HTTP: events in, pieces of choices out.

A stream ends well only when every choice has a finish reason *and* `[DONE]` or a clean end of the body has come.
Anything else is an error: a cut connection must never look like a finished answer.
"""

import asyncio

import aiohttp
import msgspec

from gateway.errors import Broken, TimedOut
from gateway.messages import Delta, Usage, UsageQuality
from gateway.wire.openai_upstream import Chunk, decode_chunk, usage
from gateway.wire.sse import DONE, EventTooLong, SseDecoder


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
        self._open_choices: set[int] = set()
        self._seen_finish = False
        self.model = ""
        self.usage = Usage()

    async def batch(self) -> list[Delta]:
        """The pieces that arrived since the last call; empty at a proper end."""
        while not self._ended:
            data = await self._read()
            if not data:
                self._end("closed the connection")
                break
            deltas = self._pieces(data)
            if deltas:
                self._started = True
                return deltas
        return []

    def close(self) -> None:
        """Hang up, unless the answer ended properly: then the connection is kept for the next one."""
        if self._ended:
            self._response.release()
        else:
            self._response.close()

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
        deltas: list[Delta] = []
        try:
            for event in self._decoder.feed(data):
                if event == DONE:
                    self._end("sent [DONE]")
                    break
                self._take(decode_chunk(event), deltas)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EventTooLong) as error:
            raise Broken(f"{self._name} sent an event that is not one of this API") from error
        return deltas

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


def unfinished(usage_so_far: Usage, prompt: int, pieces: int) -> Usage:
    """Usage of a stream that was cut: what was counted, or an estimate from the pieces that came."""
    if usage_so_far.quality is UsageQuality.EXACT:
        return usage_so_far
    return Usage(prompt=prompt, completion=pieces, quality=UsageQuality.ESTIMATED)
