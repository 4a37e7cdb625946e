"""The adapter of Anthropic's API over HTTP: what is sent, what comes back, and what its headers say of its limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.backends.anthropic import HEADERS, AnthropicBackend
from gateway.backends.chat import ChatClient
from gateway.backends.profile import PLAIN, Profile
from gateway.blocks import Conversation, Thinking, Turn
from gateway.errors import Broken, Reason, Refused, Rejected
from gateway.messages import ImagePart, ImageUrl, Message, Sampling, Usage, UsageQuality
from gateway.ports import Call
from gateway.wire.anthropic_upstream import AnthropicApi
from tests.gateway.backends.calls import DEADLINES, later, sends
from tests.gateway.backends.raw_server import PATIENCE_S, RawServer, Script, chunk, response, stream_head
from tests.gateway.backends.stream_scripts import read
from tests.gateway.nouns import REQUEST, SPEC, change
from tests.gateway.wire.message_events import end, event, message, start, text

TURNS = (Message("developer", "be brief"), Message("user", "hi"))
ASKED = change(REQUEST, messages=TURNS, sampling=Sampling(temperature=1.5, top_k=7, max_tokens=9, stop=("x",), seed=1))
COUNTED = Usage(3, 2, quality=UsageQuality.EXACT)
ANSWER = response(json.dumps(message({"type": "text", "text": "hi"})).encode())


def named(data: bytes) -> bytes:
    """One event as that API sends it, with its name."""
    kind: str = json.loads(data)["type"]
    return f"event: {kind}\n".encode() + b"data: " + data + b"\n\n"


EVENTS = tuple(named(each) for each in (start(), event("ping"), *text(0, "a", "b"), *end()))


def streams(*events: bytes, headers: str = "", last: bytes = chunk(b"")) -> Script:
    """A script that sends a head and each of these events in a packet of its own."""
    return sends(stream_head(headers=headers), *(chunk(each) for each in events), last)


@asynccontextmanager
async def serving(
    script: Script, profile: Profile = PLAIN, base: str = "", **spec: Any
) -> AsyncIterator[tuple[RawServer, AnthropicBackend]]:
    """A server, and a backend that calls it; `base` is what its address ends in."""
    async with RawServer(script).running() as server, asyncio.timeout(PATIENCE_S):
        client = ChatClient("claude", DEADLINES, {**HEADERS, "x-api-key": "k"}, api=AnthropicApi())
        address = server.url.removesuffix("/v1/chat/completions") + base
        try:
            yield server, AnthropicBackend(change(SPEC, model="claude-x", **spec), address, profile, client)
        finally:
            await client.close()


def call(max_tokens: int | None = 9, **fields: Any) -> Call:
    """A call of that request with other fields."""
    return Call(request=change(ASKED, **fields), deadline=later(), max_tokens=max_tokens, top_logprobs=1)


def body(server: RawServer) -> dict[str, Any]:
    """The body that was sent last."""
    found: dict[str, Any] = json.loads(server.received[-1].body)
    return found


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/"])
async def test_what_is_sent(base: str) -> None:
    """The right address however it was written, version and key in that API's headers, the request in its words."""
    async with serving(sends(ANSWER), base=base) as (server, backend):
        found = await backend.complete(call())
    (received,) = server.received
    assert received.target == "/v1/messages"
    assert (received.headers["anthropic-version"], received.headers["x-api-key"]) == ("2023-06-01", "k")
    assert "authorization" not in received.headers
    assert body(server) == {
        "model": "claude-x",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "be brief"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "temperature": 1,
        "top_k": 7,
        "stop_sequences": ["x"],
    }
    assert (found.model, found.choices[0].text, found.usage, found.pause_s) == ("claude-x", "hi", COUNTED, 0)


async def test_a_streamed_answer() -> None:
    """Pieces as they come, an empty batch at the end, model and usage."""
    async with serving(streams(*EVENTS)) as (server, backend):
        stream = await backend.stream(call())
        said = ""
        while batch := await stream.batch():
            said += "".join(delta.text or "" for delta in batch)
        stream.close()
    assert (said, stream.model, stream.usage, stream.pause_s) == ("ab", "claude-x", COUNTED, 0)
    assert body(server)["stream"] is True


BROKEN: dict[str, tuple[bytes, ...]] = {
    "an end without a stop reason": EVENTS[:-2],
    "message_stop without a stop reason": (*EVENTS[:-2], EVENTS[-1]),
    "nothing": (),
    "an error event": (*EVENTS[:4], named(event("error", error={"type": "overloaded_error", "message": "x"}))),
    "no json": (*EVENTS[:4], b"data: <html>\n\n"),
    "an event of the other API": (*EVENTS[:4], b'data: {"choices": []}\n\n'),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_that_breaks_is_an_error(name: str) -> None:
    """It never looks like a finished answer, and may have been billed."""
    async with serving(streams(*BROKEN[name])) as (_, backend):
        stream = await backend.stream(call())
        with pytest.raises(Broken) as caught:
            await read(stream)
    assert (caught.value.reason, caught.value.billed) == (Reason.UPSTREAM_ERROR, True)


async def test_a_stream_without_message_stop_that_is_finished_is_whole() -> None:
    """The stop reason is what counts."""
    async with serving(streams(*EVENTS[:-1])) as (_, backend):
        stream = await backend.stream(call())
        await read(stream)
    assert stream.usage == COUNTED


@pytest.mark.parametrize(("asked", "most", "sent"), [(9, None, 9), (9, 5, 9), (None, 700, 700), (None, None, 4096)])
async def test_how_long_an_answer_may_be_is_always_said(asked: int | None, most: int | None, sent: int) -> None:
    """By the attempt, by the configuration, or by us: that API demands it."""
    async with serving(sends(ANSWER), max_output=most) as (server, backend):
        await backend.complete(call(asked))
    assert body(server)["max_tokens"] == sent


TALK = Conversation(messages=(Turn("user", "hi"),), thinking=Thinking("enabled", 1024), effort="low")


@pytest.mark.parametrize(
    ("drop", "gone", "told"),
    [
        (set(), set(), {"seed", "temperature"}),
        ({"temperature"}, {"temperature"}, {"seed", "temperature"}),
        ({"top_k", "top_p"}, {"top_k"}, {"seed", "temperature", "top_k"}),
        ({"stop"}, {"stop_sequences"}, {"seed", "temperature", "stop_sequences"}),
        ({"thinking"}, {"thinking"}, {"seed", "temperature", "thinking"}),
        ({"reasoning_effort"}, {"output_config"}, {"seed", "temperature", "output_config.effort"}),
    ],
)
async def test_what_a_model_refuses_is_not_sent_and_told(drop: set[str], gone: set[str], told: set[str]) -> None:
    """By the names of the configuration, whatever that API calls it; what it has no word for is told too."""
    profile = Profile(rename={}, drop=frozenset(drop), defaults={})
    asked = call(conversation=TALK, reasoning_effort="low")
    async with serving(sends(ANSWER), profile) as (server, backend):
        await backend.complete(asked)
        assert set(backend.ignores(asked.request)) == told
        assert backend.ignores(REQUEST) == ()
    whole = {"model", "max_tokens", "messages", "temperature", "top_k", "stop_sequences", "thinking", "output_config"}
    assert set(body(server)) == whole - gone


async def test_defaults_are_in_that_apis_words() -> None:
    """A model may need its thinking switched off."""
    profile = Profile(rename={}, drop=frozenset(), defaults={"thinking": {"type": "disabled"}})
    async with serving(sends(ANSWER), profile) as (server, backend):
        await backend.complete(call())
    assert body(server)["thinking"] == {"type": "disabled"}


async def test_what_cannot_be_said_is_not_asked() -> None:
    """An image of another kind: nothing was sent, and the next backend's turn comes."""
    image = Message("user", (ImagePart(ImageUrl("data:image/tiff;base64,aGk=")),))
    async with serving(sends(ANSWER)) as (server, backend):
        for ask in (backend.complete, backend.stream):
            with pytest.raises(Rejected) as caught:
                await ask(call(messages=(image,)))
            assert caught.value.reason is Reason.CAPABILITY
        with pytest.raises(Rejected):
            await backend.count(change(ASKED, messages=(image,)), later())
    assert server.received == []


def error(kind: str, text: str = "no", status: str = "400 Bad Request", **headers: str) -> bytes:
    """An error as that API writes it."""
    said = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}
    return response(json.dumps(said).encode(), status, {name.replace("_", "-"): each for name, each in headers.items()})


REFUSALS: list[tuple[bytes, Reason, bool, bool, float | None]] = [
    (error("invalid_request_error"), Reason.UPSTREAM_ERROR, True, False, None),
    (error("invalid_request_error", "prompt is too long: 9"), Reason.CONTEXT_LENGTH, True, False, None),
    (error("invalid_request_error", "Your credit balance is too low"), Reason.UPSTREAM_ERROR, False, False, None),
    (error("request_too_large", status="413 Too Large"), Reason.CONTEXT_LENGTH, True, False, None),
    (error("rate_limit_error", status="429 Too Many", retry_after="7"), Reason.RATE_LIMIT, False, True, 7.0),
    (error("rate_limit_error", status="429 Too Many"), Reason.RATE_LIMIT, False, True, None),
    (error("overloaded_error", status="529 Overloaded"), Reason.UPSTREAM_ERROR, False, True, None),
    (error("api_error", status="500 Oh"), Reason.UPSTREAM_ERROR, False, False, None),
]


@pytest.mark.parametrize(("raw", "reason", "callers", "retryable", "wait"), REFUSALS, ids=str)
async def test_what_a_refusal_means(
    *, raw: bytes, reason: Reason, callers: bool, retryable: bool, wait: float | None
) -> None:
    """Whose fault it is, whom to ask next, and whether and when to come back; nothing is billed."""
    async with serving(sends(raw)) as (_, backend):
        for ask in (backend.complete, backend.stream):
            with pytest.raises(Refused) as caught:
                await ask(call())
            found = caught.value
            assert (found.reason, found.callers_fault, found.billed) == (reason, callers, False)
            assert (found.retryable, found.retry_after) == (retryable, wait)


async def test_what_that_api_wrote_is_never_repeated() -> None:
    """It quotes prompts; a code and the path of a field pass."""
    raw = error("invalid_request_error", "messages.0.content: the secret canary is not allowed")
    async with serving(sends(raw)) as (_, backend):
        with pytest.raises(Refused) as caught:
            await backend.complete(call())
    assert "canary" not in str(caught.value)
    assert (caught.value.upstream_code, caught.value.upstream_param) == ("invalid_request_error", "messages.0.content")


def used_up(seconds: float) -> dict[str, str]:
    """The headers of a limit of which nothing remains for so long."""
    reset = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": reset}


async def test_a_limit_that_is_used_up_is_told_with_the_answer() -> None:
    """For as long as it takes to be renewed, and a minute at most, however far away that is."""
    for seconds, most in ((20.0, 20.0), (3600.0, 60.0)):
        whole = response(json.dumps(message()).encode(), headers=used_up(seconds))
        async with serving(sends(whole)) as (_, backend):
            assert 10.0 < (await backend.complete(call())).pause_s <= most
        lines = "".join(f"{name}: {value}\r\n" for name, value in used_up(seconds).items())
        async with serving(streams(*EVENTS, headers=lines)) as (_, backend):
            stream = await backend.stream(call())
            assert 10.0 < stream.pause_s <= most
            stream.close()


async def test_a_refusal_without_retry_after_is_waited_for_until_the_limit_is_renewed() -> None:
    """Its headers say when."""
    raw = response(b"{}", "429 Too Many Requests", used_up(20.0))
    async with serving(sends(raw)) as (_, backend):
        with pytest.raises(Refused) as caught:
            await backend.complete(call())
    assert caught.value.retry_after is not None
    assert 10.0 < caught.value.retry_after <= 20.0


async def test_tokens_are_counted_by_the_provider() -> None:
    """At its own address for that, with what the prompt is made of and nothing about the answer."""
    async with serving(sends(response(b'{"input_tokens": 14}'))) as (server, backend):
        assert await backend.count(ASKED, later()) == 14
    assert server.received[0].target == "/v1/messages/count_tokens"
    assert set(body(server)) == {"model", "messages", "system"}
