"""What the official Anthropic client sees of a gateway, over real models and over backends that fail."""

import asyncio
import json
from typing import Any

import pytest
from anthropic.types import Message, Usage
from anthropic.types.message_param import MessageParam
from pydantic import BaseModel

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import TO_LIGHT, TO_PREMIUM
from tests.e2e.homes import MODEL
from tests.e2e.stack import Stack
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

SKY: list[MessageParam] = [{"role": "user", "content": "What colour is the sky? Answer in one word."}]
GREEDY = {"temperature": 0}
COUNTING = "Count from one to ten in digits, separated by commas."


class City(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    population: int


def text_of(answer: Message) -> str:
    """All its text."""
    return "".join(block.text for block in answer.content if block.type == "text")


def prompt_tokens(usage: Usage) -> int:
    """All of a prompt: this API counts what came from a cache, which depends on what was asked before, apart."""
    return usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_auto_is_answered_by_the_light_model(real: Stack, faults: FaultServer) -> None:
    """An easy question is answered on the box; headers, body and ledger say so."""
    with real.anthropic() as client:
        raw = client.messages.with_raw_response.create(
            model="auto", max_tokens=8, messages=SKY, extra_body=GREEDY, extra_headers=TO_LIGHT
        )
    answer = raw.parse()
    assert text_of(answer).strip()
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL)
    assert (raw.headers["x-forebay-tier"], raw.headers["x-forebay-backend"]) == ("light", "local")
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    assert faults.calls() == ()
    body = json.loads(raw.text())
    told = Told(raw.status_code, raw.headers, body["forebay"], None, None, answer.model)  # type: ignore[arg-type]
    row = agree(told, real.books, raw.headers["x-request-id"])
    assert (prompt_tokens(answer.usage), answer.usage.output_tokens) == (row["prompt_tokens"], row["completion_tokens"])
    assert row["usage_quality"] == "exact"


async def test_the_async_client_is_answered_too(real: Stack) -> None:
    """Several at a time, whole and streamed, say the same."""
    asked: dict[str, Any] = {"model": "light", "max_tokens": 6, "messages": SKY, "extra_body": GREEDY}
    async with real.async_anthropic() as client:
        answers = await asyncio.gather(*(client.messages.create(**asked) for _ in range(3)))
        async with client.messages.stream(**asked) as stream:
            text = "".join([piece async for piece in stream.text_stream])
    assert {text_of(answer) for answer in answers} == {text}


@pytest.mark.parametrize(
    ("model", "tier", "backend", "answers"),
    [("mid", "mid", "mini", MODEL), ("big", "premium", "big", "premium"), ("gpt-4o-mini", "light", "local", MODEL)],
)
def test_every_name_is_answered_by_whom_it_names(
    real: Stack, model: str, tier: str, backend: str, answers: str
) -> None:
    """Tiers, pinned backends and aliases, as in the other API."""
    with real.anthropic() as client:
        raw = client.messages.with_raw_response.create(model=model, max_tokens=6, messages=SKY, extra_headers=TO_LIGHT)
    found = (raw.headers["x-forebay-tier"], raw.headers["x-forebay-backend"], raw.parse().model)
    assert found == (tier, backend, answers)


@pytest.mark.parametrize("model", ["light", "mid", "premium"])
def test_a_stream_says_what_an_answer_says(real: Stack, model: str) -> None:
    """Its events come in the order of that API, and greedy they add up to the unstreamed answer."""
    asked: dict[str, Any] = {"model": model, "max_tokens": 12, "messages": SKY, "extra_body": GREEDY}
    with real.anthropic() as client:
        whole = client.messages.create(**asked)
        events = list(client.messages.create(**asked, stream=True))
        with client.messages.stream(**asked) as stream:
            final = stream.get_final_message()
    assert text_of(final) == text_of(whole)
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    assert prompt_tokens(final.usage) == prompt_tokens(whole.usage)
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    forebay: dict[str, Any] = events[-2].forebay
    assert (forebay["tier"], forebay["attempts"]) == (model, 1)


def test_how_an_answer_ended(real: Stack) -> None:
    """By its length, or by one of the caller's strings, which is named and not in the text."""
    asked: dict[str, Any] = {
        "model": "light",
        "max_tokens": 30,
        "messages": [{"role": "user", "content": COUNTING}],
        "extra_body": GREEDY,
    }
    with real.anthropic() as client:
        full = client.messages.create(**asked | {"max_tokens": 6})
        assert full.stop_reason == "max_tokens"
        text = text_of(full)
        stop = text[len(text) // 2 :][:2]
        cut = client.messages.create(**asked, stop_sequences=["never said", stop])
        with client.messages.stream(**asked, stop_sequences=["never said", stop]) as stream:
            streamed = stream.get_final_message()
    for found in (cut, streamed):
        assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", stop)
        assert stop not in text_of(found)
        assert text.startswith(text_of(found))


def test_every_turn_and_the_system_prompt_reach_the_model(real: Stack) -> None:
    """Each adds to the prompt's tokens, of which the model's own system prompt is a part where there is no other."""
    turns: list[MessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "My name is Ada."}]},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": "What is my name?"},
    ]
    with real.anthropic() as client:
        counts = [
            prompt_tokens(client.messages.create(model="light", max_tokens=1, **asked).usage)
            for asked in (
                {"messages": turns[:1], "system": "Answer."},
                {"messages": turns, "system": "Answer."},
                {"messages": turns, "system": "Answer in one word."},
                {"messages": turns, "system": [{"type": "text", "text": "Answer in one word, and politely."}]},
            )
        ]
    assert counts == sorted(set(counts))


def test_a_json_schema_is_kept(real: Stack) -> None:
    """The client's helper gets an instance of what it asked for."""
    with real.anthropic() as client:
        answer = client.messages.parse(
            model="light",
            max_tokens=200,
            messages=[{"role": "user", "content": "Describe Paris."}],
            output_format=City,
            extra_body=GREEDY,
        )
    assert isinstance(answer.parsed_output, City)


def test_tokens_are_counted_as_they_will_be(real: Stack, faults: FaultServer) -> None:
    """By the engine's own tokenizer and template: the count is what the answer's usage then says; no row is left."""
    asked: dict[str, Any] = {"model": "light", "messages": SKY, "system": "Be brief."}
    with real.anthropic() as client:
        raw = client.messages.with_raw_response.count_tokens(**asked)
        later = client.messages.with_raw_response.create(**asked, max_tokens=1)
        guess = json.loads(
            client.messages.with_raw_response.count_tokens(
                **asked | {"model": "premium"}, extra_headers=TO_PREMIUM
            ).text()
        )
    counted = raw.parse().input_tokens
    assert counted == prompt_tokens(later.parse().usage)
    assert json.loads(raw.text())["forebay"]["quality"] == "exact"
    assert raw.headers["x-forebay-backend"] == "local"
    assert guess["forebay"]["quality"] == "estimated"
    assert abs(guess["input_tokens"] - counted) <= guess["forebay"]["error"]
    assert faults.calls() == ()
    real.books.request(later.headers["x-request-id"])
    assert raw.headers["x-request-id"] not in {row["request_id"] for row in real.books.requests()}


@pytest.mark.parametrize("stream", [False, True])
def test_a_doubtful_answer_goes_up_before_it_is_seen(tiers: Stack, faults: FaultServer, *, stream: bool) -> None:
    """The same corridor: the light answer is held, scored, and replaced; the caller sees one answer."""
    faults.next("smollm2-135m-instruct", Says(text="perhaps maybe " * 20, logprob=-4.0))
    asked: dict[str, Any] = {"model": "auto", "max_tokens": 80, "messages": SKY, "extra_headers": TO_LIGHT}
    with tiers.anthropic() as client:
        if stream:
            with client.messages.stream(**asked) as opened:
                answer = opened.get_final_message()
                headers = opened.response.headers
        else:
            raw = client.messages.with_raw_response.create(**asked)
            answer, headers = raw.parse(), raw.headers
    assert text_of(answer) == "All is well."
    assert (headers["x-forebay-tier"], headers["x-forebay-reason"]) == ("mid", "low_confidence")


def test_models_are_listed(real: Stack) -> None:
    """The same list as in the other API, all on one page."""
    with real.anthropic() as client, real.openai() as other:
        models = list(client.models.list())
        one = client.models.retrieve("local")
        assert [model.id for model in models] == [model.id for model in other.models.list()]
    assert {(model.type, model.display_name == model.id) for model in models} == {("model", True)}
    assert (one.id, one.created_at.tzinfo is not None) == ("local", True)
