"""The life of a streamed answer: how long it may be silent, and what becomes of its connection."""

import asyncio

import pytest

from gateway.backends.chat import Deadlines
from gateway.errors import Broken, Reason, TimedOut
from tests.gateway.backends.calls import BODY, calling, later, silent
from tests.gateway.backends.raw_server import (
    DONE,
    GOOD,
    PATIENCE_S,
    USAGE,
    Caller,
    Script,
    chunk,
    stream_head,
)
from tests.gateway.backends.stream_scripts import (
    COUNTED,
    END,
    A,
    B,
    failure,
    read,
    stalls_after,
    streams,
    texts,
)


def deadlines(first: float = 9.0, idle: float = 9.0, total: float = 9.0) -> Deadlines:
    """Limits that are far away unless given."""
    return Deadlines(connect_s=9.0, first_token_s=first, idle_s=idle, total_s=total)


STALLS: list[tuple[Script, Deadlines, str]] = [
    (stalls_after(), deadlines(first=0.05), "first_token"),
    (stalls_after(b": ping\n\n"), deadlines(first=0.05, idle=0.01), "first_token"),
    (stalls_after(USAGE), deadlines(first=0.05), "first_token"),
    (stalls_after(A), deadlines(idle=0.05), "idle"),
    (stalls_after(A, B, END), deadlines(idle=0.05), "idle"),
    (stalls_after(A), deadlines(total=0.05), "total"),
    (stalls_after(), deadlines(total=0.05), "total"),
    (stalls_after(A), deadlines(idle=0.6, first=0.5), "idle"),
]


@pytest.mark.parametrize(("script", "limits", "stage"), STALLS)
async def test_a_stream_that_falls_silent_times_out(script: Script, limits: Deadlines, stage: str) -> None:
    """Before the first piece, between two, or in all; comments are no pieces; it may have been billed."""
    error, _ = await failure(script, limits)
    assert isinstance(error, TimedOut)
    assert (error.stage, error.reason, error.billed) == (stage, Reason.UPSTREAM_TIMEOUT, True)


async def test_silence_before_the_head_is_the_first_token() -> None:
    """The request was sent, so it may be billed."""
    async with calling(silent, deadlines(first=0.05)) as (server, client), asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimedOut) as caught:
            await client.stream(server.url, BODY, later())
        await server.left.wait()
    assert (caught.value.stage, caught.value.billed) == ("first_token", True)


async def test_the_deadline_of_the_request_ends_a_stream() -> None:
    """Whatever the backend's own limits allow."""
    async with calling(stalls_after(A)) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later(0.1))
        with pytest.raises(TimedOut) as caught:
            await read(stream)
    assert caught.value.stage == "total"


async def test_pieces_keep_a_slow_stream_alive() -> None:
    """Each one starts the wait for the next anew."""

    async def script(caller: Caller) -> None:
        await caller.send(stream_head())
        for each in (A, B, END, USAGE, DONE):
            await caller.send(chunk(each))
            await asked.wait()
            asked.clear()
        await caller.send(chunk(b""))

    asked = asyncio.Event()
    async with calling(script, deadlines(first=2.0, idle=2.0)) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        said = []
        while batch := await stream.batch():
            said.append(texts(batch))
            asked.set()
            if batch[-1].finish_reason:
                break
        assert said == ["a", "b", ""]
        stream.close()


async def test_a_connection_is_used_again_after_a_proper_end() -> None:
    """And only then."""
    async with calling(streams(*GOOD)) as (server, client), asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            stream = await client.stream(server.url, BODY, later())
            await read(stream)
    assert server.connections == 1
    assert len(server.received) == 3


async def test_a_server_that_does_not_close_its_body_does_not_hold_up_the_end() -> None:
    """After [DONE] the answer is complete; what is missing costs the connection and nothing else."""
    async with calling(stalls_after(*GOOD)) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        assert texts(await read(stream)) == "ab"
        await server.left.wait()


async def test_hanging_up_before_the_first_byte_closes_the_connection() -> None:
    """The other side stops generating."""
    async with calling(silent) as (server, client), asyncio.timeout(PATIENCE_S):
        call = asyncio.create_task(client.stream(server.url, BODY, later()))
        await server.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(1.0):
            await server.left.wait()


@pytest.mark.parametrize("waiting", [False, True])
async def test_hanging_up_in_mid_stream_closes_the_connection(*, waiting: bool) -> None:
    """Whether somebody waits for the next piece at that moment or not."""
    async with calling(stalls_after(A)) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        assert texts(await stream.batch()) == "a"
        if waiting:
            call = asyncio.create_task(stream.batch())
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        stream.close()
        async with asyncio.timeout(1.0):
            await server.left.wait()


@pytest.mark.parametrize("waiting", [False, True])
async def test_an_engine_that_hangs_breaks_its_streams(*, waiting: bool) -> None:
    """Whoever waits at that moment, and whoever reads on later; it may have been billed."""
    async with calling(stalls_after(A)) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        assert texts(await stream.batch()) == "a"
        call = asyncio.create_task(stream.batch())
        if waiting:
            await asyncio.sleep(0)
        client.hang_up(server.url)
        with pytest.raises(Broken, match="its engine hangs") as caught:
            await call
        assert caught.value.billed
        stream.close()
        await server.left.wait()


async def test_a_wait_that_was_given_up_loses_nothing() -> None:
    """Who stops waiting for a piece may go on waiting later: probation does that when its window closes."""

    async def script(caller: Caller) -> None:
        await streams(A, last=b"")(caller)
        await go_on.wait()
        await caller.send(*(chunk(each) for each in (B, END, USAGE, DONE)), chunk(b""))

    go_on = asyncio.Event()
    async with calling(script) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        assert texts(await stream.batch()) == "a"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await stream.batch()
        go_on.set()
        assert texts(await read(stream)) == "b"
        assert stream.usage == COUNTED
