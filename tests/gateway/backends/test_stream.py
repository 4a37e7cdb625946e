"""Streamed answers over HTTP: pieces as they come, and no broken stream that looks like a finished one."""

import asyncio

import pytest

from gateway.backends.stream import EventStream
from gateway.errors import Broken, Reason, Refused
from gateway.messages import Delta, Usage
from tests.gateway.backends.calls import BODY, calling, later, sends
from tests.gateway.backends.raw_server import (
    DONE,
    GOOD,
    PATIENCE_S,
    USAGE,
    Caller,
    Script,
    chunk,
    event,
    piece,
    response,
    stream_head,
)
from tests.gateway.backends.stream_scripts import (
    COUNTED,
    END,
    A,
    B,
    breaks_after,
    failure,
    read,
    streams,
    texts,
)


async def collected(script: Script) -> tuple[list[Delta], EventStream]:
    """The pieces of the answer by this script, and its stream at the end."""
    async with calling(script) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        return await read(stream), stream


WELL: dict[str, Script] = {
    "an event a packet": streams(*GOOD),
    "all in one packet": streams(b"".join(GOOD)),
    "byte by byte": streams(*(bytes([byte]) for byte in b"".join(GOOD))),
    "with comments and blank lines": streams(b": ping\n\n", A, b": ping\n\n\r\n", B, END, USAGE, DONE),
    "with a role first": streams(event({"choices": [{"delta": {"role": "assistant"}}]}), *GOOD),
    "without done": streams(A, B, END, USAGE),
    "without chunks": sends(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncontent-length: %d\r\n\r\n%s"
        % (len(b"".join(GOOD)), b"".join(GOOD))
    ),
    "the usage first": streams(USAGE, A, B, END, DONE),
    "usage with every piece": streams(A, USAGE, B, USAGE, END, USAGE, DONE),
}


@pytest.mark.parametrize("name", WELL)
async def test_a_stream_that_ends_well(name: str) -> None:
    """Text, finish reason, usage and model are the same however they were cut; the end is an empty batch."""
    deltas, stream = await collected(WELL[name])
    assert texts(deltas) == "ab"
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert (stream.usage, stream.model) == (COUNTED, "m-1")


async def test_without_usage_it_is_unknown() -> None:
    """And not zero."""
    _, stream = await collected(streams(A, END, DONE))
    assert stream.usage == Usage()


async def test_nothing_after_the_end_counts() -> None:
    """What follows [DONE] was not part of the answer; asking on gives nothing."""
    async with calling(streams(A, END, DONE + B)) as (server, client):
        stream = await client.stream(server.url, BODY, later())
        assert texts(await read(stream)) == "a"
        assert await stream.batch() == []


async def test_every_choice_has_to_end() -> None:
    """Of two choices both need a finish reason."""
    both = (piece("a"), piece("b", index=1), END, piece(finish_reason="length", index=1), DONE)
    deltas, _ = await collected(streams(*both))
    assert {(delta.index, delta.finish_reason) for delta in deltas if delta.finish_reason} == {
        (0, "stop"),
        (1, "length"),
    }
    error, _ = await failure(streams(*both[:3], DONE))
    assert isinstance(error, Broken)


BROKEN: dict[str, tuple[Script, str]] = {
    "a clean end without finish reason": (streams(A, B), "ab"),
    "done without finish reason": (streams(A, B, DONE), "ab"),
    "nothing but done": (streams(DONE), ""),
    "nothing at all": (streams(), ""),
    "usage alone": (streams(USAGE, DONE), ""),
    "cut between events": (breaks_after(A, B), "ab"),
    "cut in an event": (breaks_after(A, B[:20]), "a"),
    "cut after the finish reason": (breaks_after(A, END[:-1]), "a"),
    "an error event": (streams(A, event({"error": {"message": "overloaded"}}), DONE), "a"),
    "an error event of text": (streams(A, event({"error": "overloaded"})), "a"),
    "an error event in the packet of a piece": (streams(A + B + event({"error": "overloaded"})), "ab"),
    "an answer that was given up": (streams(A, piece("b"), piece(finish_reason="abort"), DONE), "ab"),
    "no json": (streams(A, event(b"<html>")), "a"),
    "not utf-8": (streams(A, event(b'{"model": "\xff"}')), "a"),
    "not a number": (streams(A, event(b'{"choices": [{"index": NaN, "delta": {}}]}')), "a"),
    "very deep": (streams(A, event(b"[" * 50_000)), "a"),
    "garbage in the packet of a piece": (streams(A + event(b"?")), "a"),
    "done without finish reason in the packet of a piece": (streams(A + DONE), "a"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_that_breaks_is_an_error(name: str) -> None:
    """What came before is delivered, in whatever packets it came; then it is broken, and may have been billed."""
    script, said = BROKEN[name]
    error, deltas = await failure(script)
    assert isinstance(error, Broken)
    assert texts(deltas) == said
    assert (error.reason, error.billed) == (Reason.UPSTREAM_ERROR, True)


async def test_an_event_without_end_is_broken() -> None:
    """A line that outgrows the limit is not collected for ever."""
    error, _ = await failure(streams(A, *(b"data: " + b"x" * (1 << 20) for _ in range(9))))
    assert isinstance(error, Broken)


async def test_a_reset_is_broken() -> None:
    """However rudely it ends."""

    async def script(caller: Caller) -> None:
        await streams(A, last=b"")(caller)
        await released.wait()
        caller.reset()

    released = asyncio.Event()
    async with calling(script) as (server, client), asyncio.timeout(PATIENCE_S):
        stream = await client.stream(server.url, BODY, later())
        assert texts(await stream.batch()) == "a"
        released.set()
        with pytest.raises(Broken):
            await stream.batch()
        stream.close()


@pytest.mark.parametrize("content_type", ["application/json", "text/html", "text/plain"])
async def test_what_is_no_stream_is_broken(content_type: str) -> None:
    """A whole answer, a page, text: not what was asked for."""
    async with calling(sends(stream_head(content_type), chunk(A), chunk(b""))) as (server, client):
        with pytest.raises(Broken):
            await client.stream(server.url, BODY, later())


async def test_a_compressed_stream_is_broken() -> None:
    """It could unpack to any size."""
    async with calling(sends(stream_head(headers="content-encoding: gzip\r\n"), chunk(b""))) as (server, client):
        with pytest.raises(Broken):
            await client.stream(server.url, BODY, later())


async def test_a_refusal_comes_before_the_stream() -> None:
    """With the reason and the time to come back, as for whole answers."""
    limited = response(b"{}", "429 Too Many Requests", {"retry-after": "3"})
    async with calling(sends(limited)) as (server, client):
        with pytest.raises(Refused) as caught:
            await client.stream(server.url, BODY, later())
    assert (caught.value.reason, caught.value.retry_after, caught.value.billed) == (Reason.RATE_LIMIT, 3.0, False)
