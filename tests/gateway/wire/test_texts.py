"""Text completions as callers write them, as backends answer them, and as callers read them."""

import json
from typing import Any

import pytest

from gateway.errors import RequestError
from gateway.messages import (
    Choice,
    Completion,
    Delta,
    Hints,
    Message,
    Sampling,
    TokenLogprob,
    TopLogprob,
    Usage,
    UsageQuality,
)
from gateway.wire.openai_text_answer import TextEncoder
from gateway.wire.openai_text_request import TextBody, parse_text
from gateway.wire.openai_text_upstream import TextApi, text_body
from gateway.wire.upstream import ErrorEvent

TOKENS = (
    TokenLogprob("Once", -0.1, top_logprobs=(TopLogprob("Once", -0.1), TopLogprob("One", -2.0))),
    TokenLogprob(" more", -0.7, top_logprobs=(TopLogprob(" upon", -0.5), TopLogprob(" more", -0.7))),
)
LISTS = {
    "tokens": ["Once", " more"],
    "token_logprobs": [-0.1, -0.7],
    "top_logprobs": [{"Once": -0.1, "One": -2.0}, {" upon": -0.5, " more": -0.7}],
    "text_offset": [0, 4],
}


def parsed(**fields: Any) -> Any:
    """A body with these fields, read."""
    return parse_text(json.dumps({"model": "m", "prompt": "hi", **fields}).encode(), {}, "r-1")


FIELDS: dict[str, Any] = {
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.9,
    "n": 2,
    "stop": ["a", "b"],
    "seed": -7,
    "presence_penalty": 0.1,
    "frequency_penalty": -0.1,
    "logit_bias": {"5": -100},
}


def test_every_field() -> None:
    """What is asked is kept and sent on, what is not known is named, and hints are not sent on."""
    request = parsed(
        **FIELDS,
        logprobs=3,
        stream=True,
        stream_options={"include_usage": True},
        user="u",
        metadata={"session": "s"},
        best_of=2,
        suffix="",
        echo=False,
        store=True,
    )
    assert request.sampling == Sampling(**{**FIELDS, "stop": ("a", "b")})
    assert (request.prompt, request.messages) == ("hi", (Message("user", "hi"),))
    assert (request.logprobs, request.top_logprobs, request.stream, request.include_usage) == (True, 3, True, True)
    assert (request.hints, request.ignored) == (Hints(session="s"), ("store",))
    sent = json.loads(json.dumps(text_body(request, "other", stream=True, logprobs=4)))
    assert sent == {
        **FIELDS,
        "model": "other",
        "prompt": "hi",
        "logprobs": 4,
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    refused = {"metadata", "echo", "suffix", "best_of"}
    assert set(TextBody.__struct_fields__) == sent.keys() | refused


def test_the_least() -> None:
    """Sixteen tokens are what this API gives where nobody says more; nothing that was not asked for is sent."""
    request = parsed()
    assert request.sampling == Sampling(max_tokens=16)
    assert not request.logprobs
    assert text_body(request, "m", stream=False, logprobs=None) == {"model": "m", "prompt": "hi", "max_tokens": 16}
    assert parsed(prompt=["alone"]).prompt == "alone"
    assert parsed(logprobs=0).logprobs
    assert parsed(stop="X").sampling.stop == ("X",)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": ""}, "model", "length"),
    ({"prompt": None}, "prompt", "null"),
    ({"prompt": ""}, "prompt", "empty"),
    ({"prompt": []}, "prompt", "empty"),
    ({"prompt": [""]}, "prompt", "empty"),
    ({"prompt": ["a", "b"]}, "prompt", "2 texts"),
    ({"prompt": [5]}, "prompt", "send it as text"),
    ({"prompt": [[5, 6]]}, "prompt", "send it as text"),
    ({"prompt": ["a", [5]]}, "prompt", "send it as text"),
    ({"prompt": {"text": "a"}}, "prompt", "object"),
    ({"max_tokens": 0}, "max_tokens", ">= 1"),
    ({"temperature": 3}, "temperature", "<= 2"),
    ({"n": 17}, "n", "<= 16"),
    ({"stop": ["a"] * 5}, "stop", "length"),
    ({"logprobs": True}, "logprobs", "whole number"),
    ({"logprobs": 21}, "logprobs", "<= 20"),
    ({"logit_bias": {"word": 1}}, "logit_bias", "regex"),
    ({"echo": True}, "echo", "not supported"),
    ({"suffix": "end"}, "suffix", "not supported"),
    ({"best_of": 2}, "best_of", "ask for n"),
    ({"best_of": 1, "n": 2}, "best_of", "ask for n"),
    ({"guided_json": {}}, "guided_json", "remove"),
]


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED)
def test_what_cannot_be_asked(fields: dict[str, Any], param: str, words: str) -> None:
    """The field at fault, and what is wrong with it."""
    with pytest.raises(RequestError) as caught:
        parsed(**fields)
    assert (caught.value.param, caught.value.status) == (param, 400)
    assert words in caught.value.message


def choice(text: str = "Once more", **more: Any) -> dict[str, Any]:
    """A choice of a backend's answer."""
    return {"text": text, "index": 0, "finish_reason": "stop", **more}


def answer(*choices: dict[str, Any], **more: Any) -> bytes:
    """A backend's answer, or one event of it."""
    return json.dumps({"object": "text_completion", "model": "m-1", "choices": choices, **more}).encode()


def test_a_whole_answer_of_a_backend() -> None:
    """Its texts, counts and log-probabilities, the likeliest first whatever order they come in."""
    shuffled = {**LISTS, "top_logprobs": [{"One": -2.0, "Once": -0.1}, {" more": -0.7, " upon": -0.5}]}
    raw = answer(
        choice(logprobs=shuffled, stop_reason="\n"),
        choice("Twice", index=1, finish_reason="length", logprobs=None),
        usage={"prompt_tokens": 4, "completion_tokens": 6},
        system_fingerprint="fp",
    )
    assert TextApi().completion(raw) == Completion(
        model="m-1",
        choices=(
            Choice(text="Once more", finish_reason="stop", logprobs=TOKENS, stop_sequence="\n"),
            Choice(index=1, text="Twice", finish_reason="length"),
        ),
        usage=Usage(prompt=4, completion=6, quality=UsageQuality.EXACT),
        fingerprint="fp",
    )


def test_tokens_that_nobody_rates_are_left_out() -> None:
    """The first token of an echoed prompt has no probability; some servers give no alternatives."""
    bare = {"tokens": ["a", "b"], "token_logprobs": [None, -1.0], "top_logprobs": None, "text_offset": [0, 1]}
    (found,) = TextApi().completion(answer(choice(logprobs=bare))).choices
    assert found.logprobs == (TokenLogprob("b", -1.0),)


@pytest.mark.parametrize("raw", [b"{}", answer(), answer(choice(finish_reason=None)), b"[]", answer({"text": 5})])
def test_what_is_no_answer(raw: bytes) -> None:
    """Also one without an end."""
    with pytest.raises(ValueError):  # noqa: PT011 - of msgspec's errors the backends take any
        TextApi().completion(raw)


def test_a_stream_of_a_backend() -> None:
    """Pieces, the reason at the end, the usage, and [DONE]; an empty text is no piece of an answer."""
    reader, found = TextApi().events(), list[Delta]()
    reader.take(answer(choice("Once", finish_reason=None, logprobs={**LISTS, "tokens": ["Once"]})), found)
    assert not reader.finished
    reader.take(answer(choice("", stop_reason="X")), found)
    reader.take(answer(usage={"prompt_tokens": 4, "completion_tokens": 1}), found)
    assert (reader.finished, reader.done, reader.model) == (True, False, "m-1")
    reader.take(b"[DONE]", found)
    assert reader.done
    assert found == [
        Delta(text="Once", logprobs=TOKENS[:1]),
        Delta(finish_reason="stop", stop_sequence="X"),
    ]
    assert reader.usage == Usage(prompt=4, completion=1, quality=UsageQuality.EXACT)


def test_a_stream_that_breaks() -> None:
    """By an event that says so."""
    with pytest.raises(ErrorEvent):
        TextApi().events().take(b'{"error": {"message": "oh"}}', [])


def encoder(top: int | None = None, *, include_usage: bool = False) -> TextEncoder:
    """A writer for a caller who wants so many logprobs."""
    return TextEncoder("r-1", 9, "m-1", top, include_usage=include_usage)


COUNTED = Usage(prompt=4, completion=6, quality=UsageQuality.EXACT)
HEAD = {"id": "cmpl-r-1", "object": "text_completion", "created": 9, "model": "m-1"}


@pytest.mark.parametrize(
    ("top", "lists"),
    [
        (None, None),
        (2, LISTS),
        (1, {**LISTS, "top_logprobs": [{"Once": -0.1}, {" upon": -0.5}]}),
        (0, {**LISTS, "top_logprobs": [{}, {}]}),
    ],
)
def test_a_whole_answer_to_a_caller(top: int | None, lists: dict[str, Any] | None) -> None:
    """With as many alternatives as were asked for, the likeliest first; a refusal is text here."""
    choices = (
        Choice(text="Once more", finish_reason="length", logprobs=TOKENS),
        Choice(index=1, refusal="No.", reasoning="hm", finish_reason="stop"),
    )
    completion = Completion(model="m-1", choices=choices, usage=COUNTED, fingerprint="fp")
    written = json.loads(encoder(top).whole(completion, COUNTED, {"via": "chat"}))
    assert written.pop("usage")["total_tokens"] == 10
    assert written == {
        **HEAD,
        "choices": [
            {"text": "Once more", "index": 0, "logprobs": lists, "finish_reason": "length"},
            {"text": "No.", "index": 1, "logprobs": None, "finish_reason": "stop"},
        ],
        "system_fingerprint": "fp",
        "forebay": {"via": "chat"},
    }
    if lists is not None:
        (first, _) = json.loads(encoder(top).whole(completion, COUNTED, {}))["choices"]
        assert [list(each) for each in first["logprobs"]["top_logprobs"]] == [list(e) for e in lists["top_logprobs"]]


def events_of(raw: bytes) -> list[Any]:
    """The data of each event."""
    lines = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_stream_to_a_caller(*, include_usage: bool) -> None:
    """Offsets go on from piece to piece; thought has no place; the last finish reason tells what happened."""
    writer = encoder(2, include_usage=include_usage)
    assert writer.opening(COUNTED) == b""
    assert writer.piece(Delta(reasoning="hm")) == b""
    pieces = events_of(writer.piece(Delta(text="Once", logprobs=TOKENS[:1])))
    pieces += events_of(writer.piece(Delta(text=" more", logprobs=TOKENS[1:])))
    assert [event["choices"][0]["text"] for event in pieces] == ["Once", " more"]
    assert [event["choices"][0]["logprobs"]["text_offset"] for event in pieces] == [[0], [4]]
    assert all({**event, "choices": []} == {**HEAD, "choices": []} for event in pieces)
    finish = [Delta(index=0, finish_reason="stop"), Delta(index=1, finish_reason="length")]
    first, last, *rest = events_of(writer.ending(finish, COUNTED, {"via": "completions"}))
    assert [each["choices"][0]["finish_reason"] for each in (first, last)] == ["stop", "length"]
    assert ("forebay" in first, last["forebay"]) == (False, {"via": "completions"})
    assert rest[-1] == "[DONE]"
    assert [(event["choices"], event["usage"]["prompt_tokens"]) for event in rest[:-1]] == [([], 4)] * include_usage


def test_half_a_character_is_no_piece() -> None:
    """A token that is not text yet says nothing to a caller who wants no logprobs."""
    assert encoder().piece(Delta(logprobs=TOKENS[:1])) == b""
    assert events_of(encoder(2).piece(Delta(logprobs=TOKENS[:1])))[0]["choices"][0]["text"] == ""
