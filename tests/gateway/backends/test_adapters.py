"""The two adapters: a provider at a fixed address, and an engine whose address changes with each start."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.backends.chat import ChatClient
from gateway.backends.embeddings import EngineVectors, ProviderVectors
from gateway.backends.local import LocalBackend
from gateway.backends.openai import OpenAIBackend
from gateway.backends.profile import PLAIN, Profile
from gateway.blocks import CacheControl, Conversation, Turn
from gateway.errors import BackendError, Broken, EngineGone, Reason, Rejected
from gateway.messages import FunctionSpec, Message, Sampling, Tool
from gateway.ports import Backend, Call
from gateway.types import EngineView, Priority, Replica
from gateway.vectors import EmbeddingRequest
from tests.gateway.backends.calls import DEADLINES, later
from tests.gateway.backends.raw_server import GOOD, PATIENCE_S, Caller, RawServer, answer, chunk, response, stream_head
from tests.gateway.nouns import REQUEST, SPEC, change

UP = EngineView(name="small", ready=True, given_up=False, url="http://nowhere", detail="up")
TURNS = (Message("developer", "be brief"), Message("user", "hi"))
TEXTS = EmbeddingRequest(id="r-1", created=0, requested_model="m", inputs=("one",))
VECTORS = b'{"data": [{"index": 0, "embedding": [0.5, 1.0]}], "model": "m-1", "usage": {"prompt_tokens": 3}}'
PROFILE = Profile(rename={"max_tokens": "max_completion_tokens"}, drop=frozenset({"temperature"}), defaults={})
Make = Callable[[str, ChatClient], Backend]


def provider(base: str, client: ChatClient) -> Backend:
    """A provider at this address."""
    return OpenAIBackend(SPEC, f"{base}/v1/", PROFILE, client)


def engine(base: str, client: ChatClient) -> Backend:
    """An engine that is up at this address."""
    return LocalBackend(lambda: SPEC, lambda: change(UP, url=base), PROFILE, client)


async def replies(caller: Caller) -> None:
    """An answer, streamed or whole: as it was asked for last."""
    await caller.send(response(answer()))


async def streams(caller: Caller) -> None:
    """A streamed answer."""
    await caller.send(stream_head(), *(chunk(each) for each in GOOD), chunk(b""))


@asynccontextmanager
async def serving(script: Callable[[Caller], Any]) -> AsyncIterator[tuple[RawServer, str, ChatClient]]:
    """A server, its base address, and a client."""
    async with RawServer(script).running() as server, asyncio.timeout(PATIENCE_S):
        client = ChatClient("small", DEADLINES, {})
        try:
            yield server, server.url.removesuffix("/v1/chat/completions"), client
        finally:
            await client.close()


def call(top_logprobs: int | None = 1) -> Call:
    """A call of a request with a developer turn, a temperature and a limit."""
    request = change(REQUEST, messages=TURNS, sampling=Sampling(temperature=0.5, max_tokens=9))
    return Call(request=request, deadline=later(), max_tokens=9, top_logprobs=top_logprobs)


@pytest.mark.parametrize(("make", "role"), [(provider, "developer"), (engine, "system")])
async def test_a_whole_answer(make: Make, role: str) -> None:
    """The right address, the backend's own model name, its profile; templates of engines know no developer."""
    async with serving(replies) as (server, base, client):
        found = await make(base, client).complete(call())
    (received,) = server.received
    assert received.target == "/v1/chat/completions"
    assert json.loads(received.body) == {
        "model": SPEC.model,
        "messages": [{"role": role, "content": "be brief"}, {"role": "user", "content": "hi"}],
        "max_completion_tokens": 9,
        "logprobs": True,
        "top_logprobs": 1,
    }
    assert found.choices[0].text == "hi"


@pytest.mark.parametrize("make", [provider, engine])
async def test_a_streamed_answer(make: Make) -> None:
    """As the port promises: pieces, an empty batch at the end, model and usage."""
    async with serving(streams) as (server, base, client):
        stream = await make(base, client).stream(call(None))
        text = ""
        while batch := await stream.batch():
            text += "".join(delta.text or "" for delta in batch)
        stream.close()
    sent = json.loads(server.received[0].body)
    assert (text, stream.model, stream.usage.completion) == ("ab", "m-1", 2)
    assert sent["stream"] is True
    assert "logprobs" not in sent


@pytest.mark.parametrize("make", [provider, engine])
async def test_what_is_not_sent_is_said(make: Make) -> None:
    """Fields that the caller set and this backend refuses."""
    async with serving(replies) as (_, base, client):
        assert make(base, client).ignores(call().request) == ("temperature",)
        assert make(base, client).ignores(REQUEST) == ()


async def test_an_engine_is_called_where_it_is_at_the_moment() -> None:
    """A restart gives it another port; what it calls its model goes before what the configuration calls it."""
    async with serving(replies) as (first, one, client), serving(replies) as (second, two, _):
        views = [change(UP, url=one), change(UP, url=two, model="renamed")]
        backend = LocalBackend(lambda: SPEC, lambda: views[0], PLAIN, client)
        await backend.complete(call())
        views.pop(0)
        await backend.complete(call())
    assert [json.loads(each.received[0].body)["model"] for each in (first, second)] == [SPEC.model, "renamed"]


@pytest.mark.parametrize(
    ("view", "words"), [(None, "not seen yet"), (change(UP, url=None, ready=False, detail="restarting"), "restarting")]
)
async def test_an_engine_without_an_address_is_not_called(view: EngineView | None, words: str) -> None:
    """It went away after the gate had let the request in: nothing was sent, and the next candidate's turn comes."""
    client = ChatClient("small", DEADLINES, {})
    backend = LocalBackend(lambda: SPEC, lambda: view, PLAIN, client)
    for ask in (backend.complete, backend.stream):
        with pytest.raises(Rejected) as caught:
            await ask(call())
        assert caught.value.reason is Reason.ENGINE_UNHEALTHY
        assert words in str(caught.value)
    await client.close()


async def test_an_engine_that_takes_no_connection_is_gone() -> None:
    """Nothing was sent: no failed call, but an engine that is unwell."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        client = ChatClient("small", DEADLINES, {})
        backend = engine(address, client)
        for ask in (backend.complete, backend.stream):
            with pytest.raises(EngineGone) as caught:
                await ask(call())
            assert caught.value.reason is Reason.ENGINE_UNHEALTHY
            assert str(caught.value) == f"{SPEC.name}: its engine takes no connections"
        await client.close()


async def test_an_engine_counts_tokens_as_it_would_read_them() -> None:
    """By its own template, tools included; templates know no developer."""

    async def counts(caller: Caller) -> None:
        await caller.send(response(b'{"count": 31, "max_model_len": 4096, "tokens": []}'))

    tools = (Tool(FunctionSpec("f")),)
    async with serving(counts) as (server, base, client):
        assert await engine(base, client).count(change(REQUEST, messages=TURNS, tools=tools), later()) == 31
    (received,) = server.received
    assert received.target == "/tokenize"
    sent = json.loads(received.body)
    assert [turn["role"] for turn in sent["messages"]] == ["system", "user"]
    assert sent["tools"][0]["function"]["name"] == "f"
    assert set(sent) == {"model", "messages", "tools"}


async def test_what_is_no_count_is_an_error() -> None:
    """An engine without that address, or one that says something else."""
    for raw in (response(b"{}", "404 Not Found"), response(b'{"tokens": []}'), response(b'{"count": -1}')):

        async def says(caller: Caller, raw: bytes = raw) -> None:
            await caller.send(raw)

        async with serving(says) as (_, base, client):
            with pytest.raises(BackendError):
                await engine(base, client).count(REQUEST, later())


async def test_a_provider_of_openais_api_cannot_tell() -> None:
    """It counts what it answers, and is asked for nothing else."""
    async with serving(replies) as (server, base, client):
        assert await provider(base, client).count(REQUEST, later()) is None
    assert server.received == []


async def test_top_k_is_for_engines() -> None:
    """OpenAI's API has no such field and refuses a request with one; its callers are told."""
    asked = change(call(), request=change(REQUEST, sampling=Sampling(top_k=5)))
    async with serving(replies) as (server, base, client):
        for make in (provider, engine):
            await make(base, client).complete(asked)
        assert provider(base, client).ignores(asked.request) == ("top_k",)
        assert engine(base, client).ignores(asked.request) == ()
    assert [json.loads(each.body).get("top_k") for each in server.received] == [None, 5]


@pytest.mark.parametrize(("profile", "said"), [(change(PLAIN, prioritised=True), 1), (PLAIN, None)])
async def test_an_engine_for_vectors_is_told_who_can_wait(profile: Profile, said: int | None) -> None:
    """In its own words, and only one that goes by it; a provider never."""

    async def gives(caller: Caller) -> None:
        await caller.send(response(VECTORS))

    async with serving(gives) as (server, base, client):
        ours = EngineVectors(SPEC, lambda: change(UP, url=base), profile, client)
        theirs = ProviderVectors(SPEC, f"{base}/v1", PROFILE, client)
        for backend in (ours, theirs):
            await backend.embed(TEXTS, later(), Priority.BATCH)
    bodies = [json.loads(received.body) for received in server.received]
    assert [body.get("priority") for body in bodies] == [said, None]


async def test_what_the_translation_loses_is_told() -> None:
    """Of a request in Anthropic's words, both kinds ignore what they have no words for."""
    talk = Conversation(messages=(Turn("user", "hi"),), cache_control=CacheControl("ephemeral"))
    client = ChatClient("mini", DEADLINES, {})
    for make in (provider, engine):
        backend = make("http://nowhere", client)
        assert backend.ignores(change(REQUEST, conversation=talk)) == ("cache_control",)
        sampled = change(REQUEST, conversation=talk, sampling=Sampling(temperature=1))
        assert backend.ignores(sampled) == ("cache_control", "temperature")
    await client.close()


def several(*urls: str) -> EngineView:
    """An engine that is all of these."""
    return change(UP, url=urls[0], replicas=tuple(Replica(url=url, ready=True) for url in urls))


async def test_of_several_servers_one_that_takes_no_connection_is_passed_over() -> None:
    """Nothing was sent to it; who is left answers, and the next one asks it first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with serving(replies) as (server, base, client):
            view = several(dead, base)
            backend = LocalBackend(lambda: SPEC, lambda: view, PLAIN, client)
            assert [(await backend.complete(call())).choices[0].text for _ in range(2)] == ["hi", "hi"]
            view = several(dead)
            with pytest.raises(EngineGone):
                await backend.complete(call())
    assert len(server.received) == 2


async def test_a_stream_is_the_servers_until_it_is_closed() -> None:
    """A conversation keeps to its server until that one has more than its share; closing twice counts once."""
    async with serving(streams) as (first, one, client), serving(streams) as (second, two, _):
        view = several(one, two)
        backend = LocalBackend(lambda: SPEC, lambda: view, PLAIN, client)
        for received in ((2, 1), (3, 3)):
            open_streams = [await backend.stream(call(None)) for _ in range(3)]
            assert (len(first.received), len(second.received)) == received
            for stream in open_streams:
                while await stream.batch():
                    pass
                stream.close()
                stream.close()


async def hangs_up(caller: Caller) -> None:
    """Whoever was to answer has died."""
    caller.reset()


async def test_of_several_servers_one_that_breaks_off_before_it_answers_is_passed_over() -> None:
    """Generating changes nothing in the world; where all break off, that is what is said."""
    async with (
        serving(hangs_up) as (_, dying, client),
        serving(hangs_up) as (_, other, _),
        serving(replies) as (server, base, _),
    ):
        view = several(dying, base)
        backend = LocalBackend(lambda: SPEC, lambda: view, PLAIN, client)
        assert (await backend.complete(call())).choices[0].text == "hi"
        lost = LocalBackend(lambda: SPEC, lambda: several(dying, other), PLAIN, client)
        with pytest.raises(Broken):
            await lost.complete(call())
    assert len(server.received) == 1
