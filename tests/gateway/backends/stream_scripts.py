"""Servers that stream an answer well, break it off, or fall silent; and reading what they send."""

import asyncio
from collections.abc import Iterable

import pytest

from gateway.backends.chat import Deadlines
from gateway.errors import BackendError
from gateway.messages import Delta, Usage, UsageQuality
from gateway.ports import AnswerStream
from tests.gateway.backends.calls import BODY, DEADLINES, calling, later, sends
from tests.gateway.backends.raw_server import PATIENCE_S, Caller, Script, chunk, piece, stream_head

A, B, END = piece("a"), piece("b"), piece(finish_reason="stop")
COUNTED = Usage(3, 2, quality=UsageQuality.EXACT)


def streams(*events: bytes, last: bytes = chunk(b"")) -> Script:
    """A script that sends a head and each of these pieces of the body in a packet of its own."""
    return sends(stream_head(), *(chunk(each) for each in events), last)


def breaks_after(*events: bytes) -> Script:
    """A script that closes the connection in the middle of the body."""

    async def script(caller: Caller) -> None:
        await streams(*events, last=b"")(caller)
        raise ConnectionAbortedError

    return script


def stalls_after(*events: bytes) -> Script:
    """A script that falls silent after these."""

    async def script(caller: Caller) -> None:
        await streams(*events, last=b"")(caller)
        await caller.hung_up()

    return script


async def read(stream: AnswerStream) -> list[Delta]:
    """Every piece to the end, which closes the stream."""
    deltas: list[Delta] = []
    try:
        await collect(stream, deltas)
    finally:
        stream.close()
    return deltas


async def failure(script: Script, deadlines: Deadlines = DEADLINES) -> tuple[BackendError, list[Delta]]:
    """How a stream by this script fails, and what came before."""
    deltas: list[Delta] = []
    async with calling(script, deadlines) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        with pytest.raises(BackendError) as caught:
            await collect(stream, deltas)
        stream.close()
    return caught.value, deltas


async def collect(stream: AnswerStream, deltas: list[Delta]) -> None:
    """Every piece to the end."""
    while batch := await stream.batch():
        deltas += batch


def texts(deltas: Iterable[Delta]) -> str:
    """What was said."""
    return "".join(delta.text or "" for delta in deltas)
