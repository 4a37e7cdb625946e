"""What the official OpenAI client sees of a gateway over real models."""

import asyncio
import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import TO_LIGHT, TO_PREMIUM
from tests.e2e.homes import MODEL
from tests.e2e.stack import Stack
from tests.faults.handle import FaultServer

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
SKY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What colour is the sky? Answer in one word."}]


class City(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    population: int


def text_of(answer: ChatCompletion) -> str:
    """The text of the first choice."""
    content = answer.choices[0].message.content
    assert content is not None
    return content


def test_auto_is_answered_by_the_light_model(real: Stack, faults: FaultServer) -> None:
    """An easy question is answered on the box, and nothing is sent to the cloud."""
    with real.openai() as client:
        raw = client.chat.completions.with_raw_response.create(
            model="auto", messages=SKY, max_tokens=8, temperature=0, extra_headers=TO_LIGHT
        )
    answer = raw.parse()
    assert text_of(answer).strip()
    assert answer.model == MODEL
    assert raw.headers["x-forebay-tier"] == "light"
    assert raw.headers["x-forebay-backend"] == "local"
    assert faults.calls() == ()


async def test_the_async_client_is_answered_too(real: Stack) -> None:
    """AsyncOpenAI gets answers and streams, several at a time."""
    async with real.async_openai() as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(model="light", messages=SKY, max_tokens=6, temperature=0)
                for _ in range(4)
            )
        )
        stream = await client.chat.completions.create(
            model="light", messages=SKY, max_tokens=6, temperature=0, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert {text_of(answer) for answer in answers} == {"".join(pieces)}


def test_auto_goes_up_where_reasoning_is_needed(real: Stack, faults: FaultServer) -> None:
    """The hint `reasoning` starts at the premium tier, and the hint itself is not sent on."""
    with real.openai() as client:
        raw = client.chat.completions.with_raw_response.create(model="auto", messages=HELLO, extra_headers=TO_PREMIUM)
    assert raw.parse().model == "premium"
    assert raw.headers["x-forebay-tier"] == "premium"
    (call,) = faults.settled()
    assert "x-forebay-task" not in call.headers
    assert "reasoning" not in call.body


@pytest.mark.parametrize(
    ("model", "tier", "backend", "answers"),
    [
        ("light", "light", "local", MODEL),
        ("mid", "mid", "mini", MODEL),
        ("premium", "premium", "big", "premium"),
        ("local", "light", "local", MODEL),
        ("mini", "mid", "mini", MODEL),
        ("big", "premium", "big", "premium"),
        ("gpt-4o-mini", "light", "local", MODEL),
    ],
)
def test_every_name_is_answered_by_whom_it_names(
    real: Stack, model: str, tier: str, backend: str, answers: str
) -> None:
    """Tiers, pinned backends and an alias lead to their backend, and `model` names the model that answered."""
    with real.openai() as client:
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=SKY, max_tokens=6, temperature=0, extra_headers=TO_LIGHT
        )
    answer = raw.parse()
    assert text_of(answer).strip()
    assert answer.object == "chat.completion"
    assert (raw.headers["x-forebay-tier"], raw.headers["x-forebay-backend"], answer.model) == (tier, backend, answers)
    assert answer.usage is not None
    assert 1 <= answer.usage.completion_tokens <= 6


@pytest.mark.parametrize("model", ["light", "mid", "premium"])
def test_a_stream_has_pieces_an_end_and_usage_where_asked(real: Stack, model: str) -> None:
    """Pieces come in order, one finish reason ends them, and the usage comes last and only when it is wanted."""
    with real.openai() as client:
        stream = client.chat.completions.create(
            model=model,
            messages=SKY,
            max_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        plain = list(
            client.chat.completions.create(model=model, messages=SKY, max_tokens=12, temperature=0, stream=True)
        )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]).strip()
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] in ("stop", "length")
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-2])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens <= 12
    assert all(chunk.usage is None and chunk.choices for chunk in plain)


def test_a_stream_says_what_an_answer_says(real: Stack) -> None:
    """Greedy, both ways to ask give the same words and the same usage."""
    asked: dict[str, Any] = {"temperature": 0, "max_tokens": 20}
    whole = real.chat("light", "Name three colours.", **asked).json()
    read = real.events("light", "Name three colours.", stream_options={"include_usage": True}, **asked)
    assert read.text == whole["choices"][0]["message"]["content"]
    assert read.finish_reason == whole["choices"][0]["finish_reason"]
    assert read.usage is not None
    for kind in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert read.usage[kind] == whole["usage"][kind]


@pytest.mark.parametrize("stream", [False, True])
def test_a_json_schema_is_kept(real: Stack, *, stream: bool) -> None:
    """An answer that was asked to follow a schema is JSON of that schema, whole or streamed."""
    schema = {**City.model_json_schema(), "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}}
    asked: dict[str, Any] = {"response_format": wanted, "temperature": 0, "max_tokens": 200}
    if stream:
        text = real.events("light", "Describe Paris.", **asked).text
    else:
        text = real.chat("light", "Describe Paris.", **asked).json()["choices"][0]["message"]["content"]
    City.model_validate_json(text)
    assert set(json.loads(text)) == {"city", "population"}


def test_the_parse_helper_of_the_client_works(real: Stack) -> None:
    """`client.chat.completions.parse` gives a model instance."""
    with real.openai() as client:
        answer = client.chat.completions.parse(
            model="light",
            messages=[{"role": "user", "content": "Describe Rome."}],
            response_format=City,
            temperature=0,
            max_tokens=200,
        )
    assert isinstance(answer.choices[0].message.parsed, City)


@pytest.mark.parametrize("model", ["light", "mid", "premium"])
@pytest.mark.parametrize("top", [None, 1, 3])
def test_logprobs_are_exactly_as_many_as_asked(real: Stack, model: str, top: int | None) -> None:
    """Each token has its logprob and `top_logprobs` alternatives, though the gateway may have asked for more."""
    with real.openai() as client:
        answer = client.chat.completions.create(
            model=model, messages=SKY, max_tokens=5, temperature=0, logprobs=True, top_logprobs=top
        )
        streamed = list(
            client.chat.completions.create(
                model=model, messages=SKY, max_tokens=5, temperature=0, logprobs=True, top_logprobs=top, stream=True
            )
        )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    assert "".join(token.token for token in logprobs.content) == text_of(answer)
    pieces = [token for chunk in streamed if (found := chunk.choices[0].logprobs) for token in found.content or ()]
    assert [token.token for token in pieces] == [token.token for token in logprobs.content]
    for token in (*logprobs.content, *pieces):
        assert token.logprob <= 0
        assert len(token.top_logprobs) == (top or 0)


@pytest.mark.parametrize("stream", [False, True])
def test_no_logprobs_for_those_who_did_not_ask(real: Stack, faults: FaultServer, *, stream: bool) -> None:
    """The gateway scores by logprobs and keeps them to itself."""
    for model in ("light", "premium"):
        if stream:
            read = real.events(model, max_tokens=4)
            assert all(choice["logprobs"] is None for event in read.events for choice in event["choices"])
        else:
            assert real.chat(model, max_tokens=4).json()["choices"][0]["logprobs"] is None
    (call,) = faults.settled()
    assert "logprobs" not in json.loads(call.body), "nobody reads those of the premium tier"


def test_several_choices(real: Stack) -> None:
    """`n` answers come, numbered, and the usage counts them all."""
    with real.openai() as client:
        answer = client.chat.completions.create(model="light", messages=HELLO, n=2, max_tokens=6, seed=1)
        stream = list(
            client.chat.completions.create(model="light", messages=HELLO, n=2, max_tokens=6, seed=1, stream=True)
        )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 6
    finished = [choice.index for chunk in stream for choice in chunk.choices if choice.finish_reason]
    assert sorted(finished) == [0, 1]


def test_stop_strings_end_an_answer_and_are_not_in_it(real: Stack) -> None:
    """The answer ends before the stop string, with finish reason `stop`."""
    question = "Count from one to ten in digits, separated by commas."
    full = real.chat("light", question, temperature=0, max_tokens=30).json()["choices"][0]["message"]["content"]
    stop = full[len(full) // 2 :][:2]
    cut = real.chat("light", question, temperature=0, max_tokens=30, stop=[stop]).json()["choices"][0]
    assert stop not in cut["message"]["content"]
    assert full.startswith(cut["message"]["content"])
    assert cut["finish_reason"] == "stop"


def test_every_turn_of_a_conversation_reaches_the_model(real: Stack, faults: FaultServer) -> None:
    """System, developer, user and assistant turns go to providers as they are, and all count as prompt on the box."""
    turns: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "You are brief."},
        {"role": "developer", "content": "Answer in English."},
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello, Ada."},
        {"role": "user", "content": [{"type": "text", "text": "What is my name?"}]},
    ]
    counts = []
    with real.openai() as client:
        client.chat.completions.create(model="premium", messages=turns)
        for end in range(1, len(turns) + 1):
            answer = client.chat.completions.create(model="light", messages=turns[:end], temperature=0, max_tokens=1)
            assert answer.usage is not None
            counts.append(answer.usage.prompt_tokens)
    (call,) = faults.settled()
    assert json.loads(call.body)["messages"] == turns
    assert counts == sorted(set(counts))


def test_models_are_listed_and_retrieved(real: Stack) -> None:
    """`auto`, tiers, backends and aliases; each can be asked for by itself."""
    with real.openai() as client:
        names = [model.id for model in client.models.list()]
        assert names == ["auto", "light", "mid", "premium", "local", "mini", "big", "gpt-4o-mini"]
        for name in names:
            found = client.models.retrieve(name)
            assert (found.id, found.object, found.owned_by) == (name, "model", "forebay")
        with pytest.raises(openai.NotFoundError) as missing:
            client.models.retrieve("gpt-9")
    assert missing.value.code == "model_not_found"


def test_an_unknown_model_is_a_404_that_lists_what_exists(real: Stack) -> None:
    """openai.NotFoundError, with `param` and the names there are."""
    with real.openai() as client, pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert (missing.value.code, missing.value.param, missing.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    assert "auto, light, mid, premium, local, mini, big, gpt-4o-mini" in missing.value.message


REAL_REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("light", "Say hello.", {}),
    ("light", "What colour is the sky?", {"temperature": 1, "seed": 3}),
    ("mid", "Say hello.", {"top_p": 0.5}),
    ("local", "Name a fruit.", {"n": 2}),
    ("mini", "Name a fruit.", {"logprobs": True, "top_logprobs": 2}),
    ("premium", "Name a fruit.", {"stop": ["."]}),
    ("auto", "Thanks!", {}),
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("number", range(len(REAL_REQUESTS)))
def test_the_ledger_agrees_with_what_real_models_are_told_to_cost(real: Stack, number: int, *, stream: bool) -> None:
    """Headers, the `forebay` object, usage and rows agree where real models count the tokens."""
    model, text, more = REAL_REQUESTS[number]
    request_id = f"real-{number}-{stream}"
    headers = {**TO_LIGHT, "x-request-id": request_id}
    if stream:
        asked = {**more, "max_tokens": 8, "stream_options": {"include_usage": True}}
        told = Told.streamed(real.events(model, text, headers, **asked))
    else:
        told = Told.whole(real.chat(model, text, headers, max_tokens=8, **more))
    row = agree(told, real.books, request_id)
    assert row["usage_quality"] == "exact"
    assert row["cost_nano_usd"] > 0
