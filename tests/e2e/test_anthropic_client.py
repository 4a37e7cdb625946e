"""What the official Anthropic client sees of a gateway, over real models and over backends that fail."""

import asyncio
import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from anthropic.types.message_param import MessageParam
from pydantic import BaseModel

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import TO_LIGHT, TO_PREMIUM, key_of
from tests.e2e.homes import MODEL
from tests.e2e.stack import Stack
from tests.faults.behaviours import Says, Status
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


def details(error: anthropic.APIStatusError) -> dict[str, Any]:
    """The body of an error, which has this API's shape."""
    body = error.response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert error.response.headers["request-id"] == error.response.headers["x-request-id"] == body["request_id"]
    found: dict[str, Any] = body["error"]
    return found


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
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (row["prompt_tokens"], row["completion_tokens"])
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
    assert final.usage.input_tokens == whole.usage.input_tokens
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
            client.messages.create(model="light", max_tokens=1, **asked).usage.input_tokens
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
    assert counted == later.parse().usage.input_tokens
    assert json.loads(raw.text())["forebay"]["quality"] == "exact"
    assert raw.headers["x-forebay-backend"] == "local"
    assert guess["forebay"]["quality"] == "estimated"
    assert abs(guess["input_tokens"] - counted) <= guess["forebay"]["error"]
    assert faults.calls() == ()
    real.books.request(later.headers["x-request-id"])
    assert raw.headers["x-request-id"] not in {row["request_id"] for row in real.books.requests()}


REFUSED: list[tuple[dict[str, Any], type[anthropic.APIStatusError], str, str, str | None]] = [
    ({"model": "gpt-9"}, anthropic.NotFoundError, "not_found_error", "model_not_found", "model"),
    ({"max_tokens": 0}, anthropic.BadRequestError, "invalid_request_error", "invalid_value", "max_tokens"),
    ({"messages": []}, anthropic.BadRequestError, "invalid_request_error", "invalid_value", "messages"),
    (
        {"messages": [{"role": "user", "content": [{"type": "nonsense"}]}]},
        anthropic.BadRequestError,
        "invalid_request_error",
        "invalid_value",
        "messages.0.content.0.type",
    ),
    (
        {"extra_body": {"api_base": "http://evil"}},
        anthropic.BadRequestError,
        "invalid_request_error",
        "unsafe_field",
        "api_base",
    ),
    (
        {"model": "local", "messages": [{"role": "user", "content": "word " * 5_000}]},
        anthropic.BadRequestError,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
]


@pytest.mark.parametrize(("fields", "kind", "error_type", "code", "param"), REFUSED, ids=lambda each: str(each)[:40])
def test_a_refusal_is_the_clients_own_exception(
    real: Stack,
    fields: dict[str, Any],
    kind: type[anthropic.APIStatusError],
    error_type: str,
    code: str,
    param: str | None,
) -> None:
    """In the shape of that API, with our code and the field at fault among the details."""
    asked: dict[str, Any] = {"model": "auto", "max_tokens": 5, "messages": SKY, **fields}
    for stream in (False, True):
        with real.anthropic() as client, pytest.raises(kind) as caught:
            client.messages.create(**asked, stream=stream)
        found = details(caught.value)
        assert found["type"] == error_type
        assert found["details"]["error_code"] == code
        assert found["details"].get("param") == param


def test_keys_come_as_x_api_key(regions: Stack) -> None:
    """A right one is its tenant's, by either header; a wrong one is the client's AuthenticationError."""
    asked: dict[str, Any] = {"model": "light", "max_tokens": 5, "messages": SKY}
    with regions.anthropic("key-of-acme") as client:
        raw = client.messages.with_raw_response.create(**asked)
        by_token = client.with_options(auth_token="key-of-globex").messages.with_raw_response
        other = by_token.create(**asked, extra_headers={**key_of("globex"), "x-api-key": ""})
    assert regions.books.request(raw.headers["x-request-id"])["tenant"] == "acme"
    assert regions.books.request(other.headers["x-request-id"])["tenant"] == "globex"
    with regions.anthropic("sk-wrong-canary") as client:
        for call in (client.messages.create, client.messages.count_tokens):
            with pytest.raises(anthropic.AuthenticationError) as caught:
                call(**asked if call == client.messages.create else {"model": "light", "messages": SKY})
            found = details(caught.value)
            assert (found["type"], found["details"]["error_code"]) == ("authentication_error", "invalid_api_key")
            assert "canary" not in caught.value.response.text


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


BROKEN = {
    "cut": Says(ends="close", after=2),
    "unfinished": Says(ends="unfinished", after=2),
    "error": Says(ends="error", after=2),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_raises(tiers: Stack, faults: FaultServer, name: str) -> None:
    """The client gets what was said and then its own error: never a stop reason, never a message_stop."""
    faults.next("premium", BROKEN[name])
    seen: list[str] = []
    with tiers.anthropic() as client, pytest.raises(anthropic.APIStatusError) as caught:  # noqa: PT012
        for event in client.messages.create(model="premium", max_tokens=9, messages=SKY, stream=True):
            seen.append(event.type)  # noqa: PERF401 - what came before it raises is the point
    assert seen[-1] == "content_block_delta"
    assert "message_delta" not in seen
    body: Any = caught.value.body
    assert body["error"]["details"]["error_code"] == "upstream_interrupted"


FAILED: list[tuple[Status, type[anthropic.APIStatusError], str, str]] = [
    (
        Status(status=429, headers={"retry-after": "0"}),
        anthropic.RateLimitError,
        "rate_limit_error",
        "rate_limit_exceeded",
    ),
    (Status(status=500), anthropic.InternalServerError, "api_error", "upstream_error"),
    (Status(status=504), anthropic.APIStatusError, "timeout_error", "upstream_timeout"),
    (Status(status=422), anthropic.BadRequestError, "invalid_request_error", "request_refused"),
]


@pytest.mark.parametrize("failed", FAILED, ids=str)
def test_a_backend_that_fails_is_the_clients_own_exception(
    frail_stack: Stack,
    faults: FaultServer,
    frail_backend: str,
    failed: tuple[Status, type[anthropic.APIStatusError], str, str],
) -> None:
    """With the seconds to wait where coming back makes sense."""
    does, kind, error_type, code = failed
    faults.always(frail_backend, does)
    with frail_stack.anthropic() as client, pytest.raises(kind) as caught:
        client.messages.create(model=frail_backend, max_tokens=9, messages=SKY)
    found = details(caught.value)
    assert (found["type"], found["details"]["error_code"]) == (error_type, code)
    assert ("retry-after" in caught.value.response.headers) == (caught.value.status_code == 429)
    row = frail_stack.books.request(caught.value.response.headers["x-request-id"])
    assert (row["code"], row["http_status"]) == (code, caught.value.status_code)


def test_the_address_takes_posts_of_this_api_only(real: Stack) -> None:
    """Another method, a body that is no JSON, one of the other API: refused in this API's shape."""
    url = f"{real.url}/v1/messages"
    for answer, status in (
        (real.http.get(url), 405),
        (real.http.post(url, content=b"{"), 400),
        (real.http.post(url, json={"model": "auto", "messages": [{"role": "user", "content": "hi"}]}), 400),
        (
            real.http.post(
                url, json={"model": "auto", "max_tokens": 5, "messages": [{"role": "tool", "content": "x"}]}
            ),
            400,
        ),
    ):
        assert answer.status_code == status
        assert answer.json()["type"] == "error"
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_what_is_not_there_is_not_there_in_this_apis_shape(real: Stack) -> None:
    """Batches of messages, for one."""
    with real.anthropic() as client, pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.batches.list()
    assert (caught.value.type, caught.value.status_code) == ("not_found_error", 404)


def test_models_are_listed(real: Stack) -> None:
    """The same list as in the other API, all on one page."""
    with real.anthropic() as client, real.openai() as other:
        models = list(client.models.list())
        one = client.models.retrieve("local")
        assert [model.id for model in models] == [model.id for model in other.models.list()]
    assert {(model.type, model.display_name == model.id) for model in models} == {("model", True)}
    assert (one.id, one.created_at.tzinfo is not None) == ("local", True)
