"""Raw prompts through the gateway: to whoever goes on with them, and as chats to the others, which is said."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import TO_LIGHT
from tests.e2e.events import Events
from tests.e2e.stack import Stack
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

PROMPT = "Once upon a time, there was a little"

VIAS = [("local", "completions"), ("raw", "completions"), ("mini", "chat"), ("claude", "chat")]
"""A real engine, a provider with `completions: true`, one of OpenAI's API without, and one of Anthropic's."""


def complete(stack: Stack, model: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    """One prompt, answered as a whole."""
    body = {"model": model, "prompt": PROMPT, **more}
    return stack.http.post(f"{stack.base_url}/completions", json=body, headers=headers or {})


def events(stack: Stack, model: str, **more: Any) -> Events:
    """One prompt, answered in pieces, read to its end."""
    body = {"model": model, "prompt": PROMPT, "stream": True, **more}
    with stack.http.stream("POST", f"{stack.base_url}/completions", json=body) as response:
        return Events(response.read(), response)


def told(raw: Any) -> Told:
    """What the client was told, which uses an HTTP library of its own."""
    return Told.whole(httpx.Response(raw.http_response.status_code, headers=raw.headers, text=raw.text))


@pytest.mark.parametrize(("model", "via"), VIAS)
def test_the_official_client_gets_a_text(apis: Stack, strict: FaultServer, model: str, via: str) -> None:
    """Of every kind of backend; how it was asked is in a header, in the `forebay` object, and in the ledger."""
    with apis.openai() as client:
        raw = client.completions.with_raw_response.create(model=model, prompt=PROMPT, max_tokens=8, temperature=0)
    answer = raw.parse()
    assert answer.object == "text_completion"
    assert answer.choices[0].text.strip()
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.choices[0].logprobs is None
    assert answer.usage is not None
    assert (raw.headers["x-forebay-backend"], raw.headers["x-forebay-via"]) == (model, via)
    told_of = told(raw)
    assert told_of.forebay is not None
    assert told_of.forebay["via"] == via
    row = agree(told_of, apis.books, raw.headers["x-request-id"], strict.settled() or None)
    assert row["via"] == via


@pytest.mark.parametrize(("model", "via"), VIAS)
def test_the_official_client_gets_a_stream(apis: Stack, model: str, via: str) -> None:
    """Pieces of text, a finish reason at the end, and the usage where it was asked for."""
    with apis.openai() as client:
        stream = client.completions.create(
            model=model,
            prompt=PROMPT,
            max_tokens=8,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks: list[Completion] = list(stream)
    pieces, last = chunks[:-1], chunks[-1]
    assert "".join(chunk.choices[0].text for chunk in pieces).strip()
    assert [chunk.choices[0].finish_reason for chunk in pieces][-1] in ("stop", "length")
    assert last.choices == []
    assert last.usage is not None
    read = events(apis, model, max_tokens=8, temperature=0, stream_options={"include_usage": True})
    assert read.response.headers["x-forebay-via"] == via
    assert read.forebay is not None
    assert read.forebay["via"] == via
    agree(Told.streamed(read), apis.books, read.response.headers["x-request-id"])


def test_an_engine_goes_on_with_the_prompt(apis: Stack) -> None:
    """The very text, without a template around it: greedy, its next words are those of the engine itself."""
    answer = complete(apis, "local", max_tokens=12, temperature=0).json()
    chat = apis.chat("local", PROMPT, max_tokens=12, temperature=0).json()
    assert answer["usage"]["prompt_tokens"] < chat["usage"]["prompt_tokens"]
    assert answer["choices"][0]["text"] != chat["choices"][0]["message"]["content"]
    assert answer["choices"][0]["text"].startswith(" ")
    read = events(apis, "local", max_tokens=12, temperature=0)
    text = "".join(choice["text"] for event in read.events for choice in event["choices"])
    assert text == answer["choices"][0]["text"]


def test_logprobs_have_their_four_lists(apis: Stack) -> None:
    """From an engine as it is, and from a chat in the words of this API."""
    for model in ("local", "mini"):
        (choice,) = complete(apis, model, max_tokens=6, temperature=0, logprobs=2).json()["choices"]
        found = choice["logprobs"]
        assert "".join(found["tokens"]) == choice["text"]
        assert len({len(found[name]) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}) == 1
        assert all(len(top) == 2 and max(top.values()) <= 0 for top in found["top_logprobs"])
        assert [
            choice["text"][at:].startswith(token)
            for token, at in zip(found["tokens"], found["text_offset"], strict=True)
        ]
        streamed = events(apis, model, max_tokens=6, temperature=0, logprobs=2)
        pieces = [choice["logprobs"] for event in streamed.events for choice in event["choices"] if choice["logprobs"]]
        for name, whole in found.items():
            assert [value for piece in pieces for value in piece[name]] == whole


def test_what_is_sent_on(apis: Stack, strict: FaultServer) -> None:
    """To one that goes on with prompts the prompt, and nothing that only chats have; to another a user's turn."""
    asked: dict[str, Any] = {"max_tokens": 9, "top_p": 0.5, "stop": ["X"], "seed": 7, "user": "u", "store": True}
    for model in ("raw", "mini"):
        answer = complete(apis, model, {"x-forebay-session": "s"}, **asked)
        assert answer.status_code == 200, answer.text
        assert ("seed" in answer.headers["x-forebay-ignored"]) == (model == "raw")
    raw, chat = strict.settled()
    assert [call.path for call in (raw, chat)] == ["/v1/completions", "/v1/chat/completions"]
    common = {"max_tokens": 9, "top_p": 0.5, "stop": ["X"], "user": "u"}
    assert json.loads(raw.body) == {
        **common,
        "model": "gpt-text",
        "prompt": PROMPT,
        "temperature": 0.5,
    }
    body = json.loads(chat.body)
    assert body["messages"] == [{"role": "user", "content": PROMPT}]
    assert {name: body[name] for name in common} == common
    assert body["seed"] == 7


def test_without_a_limit_it_is_short(apis: Stack) -> None:
    """As the API has it, whoever answers."""
    answer = complete(apis, "local", temperature=0).json()
    assert answer["usage"]["completion_tokens"] <= 16


def test_auto_is_routed(apis: Stack) -> None:
    """Like a chat, by what the prompt asks for."""
    answer = complete(apis, "auto", {**TO_LIGHT, "x-forebay-no-escalation": "true"}, max_tokens=4)
    assert (answer.headers["x-forebay-tier"], answer.headers["x-forebay-reason"]) == ("light", "task_policy")


def test_several_choices(apis: Stack) -> None:
    """Each with its place, whole and streamed."""
    answer = complete(apis, "local", n=2, max_tokens=4).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    read = events(apis, "local", n=2, max_tokens=4)
    finished = [choice["index"] for event in read.events for choice in event["choices"] if choice["finish_reason"]]
    assert sorted(finished) == [0, 1]


def test_a_refusal_is_the_text(apis: Stack, strict: FaultServer) -> None:
    """This API has no other place for it, and a model's thoughts have none at all."""
    strict.next("gpt", Says(text=None, refusal="I cannot do that."), Says(text="Yes.", reasoning="Let me think."))
    assert complete(apis, "mini").json()["choices"][0]["text"] == "I cannot do that."
    read = events(apis, "mini")
    assert [choice["text"] for event in read.events for choice in event["choices"]] == ["Yes.", ""]


def test_a_stream_that_breaks_says_so(apis: Stack, strict: FaultServer) -> None:
    """The official client raises."""
    strict.next("gpt-text", Says(text="All is well here.", ends="error", after=2))
    with apis.openai() as client, pytest.raises(openai.APIError):
        list(client.completions.create(model="raw", prompt=PROMPT, stream=True))


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"echo": True}, "echo", "before the answer"),
    ({"suffix": "x"}, "suffix", "not supported"),
    ({"best_of": 3}, "best_of", "ask for n"),
    ({"prompt": ["a", "b"]}, "prompt", "2 texts"),
    ({"prompt": [1, 2]}, "prompt", "text"),
    ({"prompt": [[1, 2]]}, "prompt", "text"),
    ({"prompt": ""}, "prompt", "empty"),
    ({"prompt": []}, "prompt", "empty"),
    ({"logprobs": True}, "logprobs", "whole number"),
    ({"prompt": "word " * 3_000, "model": "local"}, "prompt", "tokens"),
]


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED)
def test_what_nobody_does_is_refused(apis: Stack, fields: dict[str, Any], param: str, words: str) -> None:
    """With the field at fault."""
    answer = complete(apis, **{"model": "mini", **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert words in error["message"]


def test_what_means_nothing_is_taken(apis: Stack) -> None:
    """Clients send these by themselves: a list of one prompt, best_of as n, and no suffix."""
    answer = complete(apis, "mini", prompt=[PROMPT], best_of=1, suffix=None, echo=False, max_tokens=4)
    assert answer.status_code == 200
