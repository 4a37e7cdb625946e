"""Answers as callers see them: the shape of OpenAI's API, with what happened beside it and nothing they did not ask."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import AnswerError, Code, RequestError, Unavailable
from gateway.messages import Choice, Completion, Delta, TokenLogprob, ToolCallDelta, TopLogprob, Usage, UsageQuality
from gateway.wire.openai_answer import AnswerEncoder, error_body, error_event
from gateway.wire.openai_upstream import decode_chunk, decode_completion
from gateway.wire.sse import DONE, SseDecoder
from tests.gateway.wire.answers import COMPLETIONS, DELTAS, USAGES

USUAL = settings(max_examples=100, deadline=None)
FOREBAY: dict[str, object] = {"tier": "light", "cost_usd": 0.5}
ENCODER = AnswerEncoder("r1", 1_700_000_000, "m", None)
TWO = AnswerEncoder("r1", 1_700_000_000, "m", None, n=2, include_usage=True)
STOP, LENGTH = Delta(finish_reason="stop"), Delta(index=1, finish_reason="length")
TOP = tuple(TopLogprob(name, -float(rank)) for rank, name in enumerate("abcde"))


def encoder(top_logprobs: int | None = None) -> AnswerEncoder:
    """The encoder of an answer whose caller wants to see this many alternatives."""
    return AnswerEncoder("r1", 1_700_000_000, "m", top_logprobs)


def event(raw: bytes) -> Any:
    """The JSON of the one event in `raw`."""
    (data,) = SseDecoder().feed(raw)
    return json.loads(data)


def events(raw: bytes) -> list[Any]:
    """The JSON of all events in `raw` but the last, which is the end."""
    *found, end = SseDecoder().feed(raw)
    assert end == DONE
    return [json.loads(data) for data in found]


def plain(completion: Completion) -> Completion:
    """An answer in the one form in which it comes back: reasoning and tool calls that are empty are absent."""
    return msgspec.structs.replace(completion, model="m")


@USUAL
@given(COMPLETIONS)
def test_a_whole_answer_comes_back_as_it_was(completion: Completion) -> None:
    """What a backend said is what the caller reads: text, calls, reasoning, logprobs, usage, finish reasons."""
    raw = encoder(top_logprobs=20).whole(completion, completion.usage, FOREBAY)
    assert decode_completion(raw) == plain(completion)


@USUAL
@given(st.lists(DELTAS, max_size=4))
def test_pieces_come_back_as_they_were(deltas: list[Delta]) -> None:
    """Each piece is one event, in order, and reading it gives the piece."""
    writer = encoder(top_logprobs=20)
    events = SseDecoder().feed(b"".join(writer.piece(delta) for delta in deltas))
    assert [decode_chunk(data).deltas() for data in events] == [[delta] for delta in deltas]


@USUAL
@given(st.text(), st.text(), st.sampled_from([None, 20]))
def test_a_piece_of_text_alone_is_written_like_any_other(model: str, text: str, top: int | None) -> None:
    """The first and the later ones, whatever the model is called: as if they had something beside the text."""
    writer = AnswerEncoder("r1", 1_700_000_000, model, top)
    mixed = event(writer.piece(Delta(text=text, reasoning="r")))
    assert mixed["choices"][0]["delta"].pop("reasoning_content") == "r"
    for _ in range(2):
        assert event(writer.piece(Delta(text=text))) == mixed


@USUAL
@given(USAGES)
def test_usage_comes_back_as_it_was(usage: Usage) -> None:
    """On the event of its own, whose choices are empty; the total is the sum."""
    chunk = events(TWO.ending([STOP], usage, FOREBAY))[-1]
    assert chunk["choices"] == []
    assert chunk["usage"]["total_tokens"] == usage.prompt + usage.completion
    found = decode_completion(json.dumps({"choices": [CHOICE], "usage": chunk["usage"]}).encode()).usage
    assert found == msgspec.structs.replace(usage, cache_written=0)


CHOICE = {"message": {"content": "x"}, "finish_reason": "stop"}


def test_a_whole_answer_has_the_shape_of_the_api() -> None:
    """Every field that the reference calls required, the gateway's id and time, and the object `forebay`."""
    usage = Usage(3, 2, 1, 1, UsageQuality.EXACT)
    completion = Completion(
        model="up", choices=(Choice(text="hi", finish_reason="stop"),), usage=usage, fingerprint="fp"
    )
    assert json.loads(ENCODER.whole(completion, usage, FOREBAY)) == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
        "system_fingerprint": "fp",
        "forebay": FOREBAY,
    }


def test_every_event_has_the_shape_of_the_api() -> None:
    """The opening says who speaks, once for each choice; all events share id, time and model."""
    opening = event(TWO.opening(Usage()))
    assert opening == {
        "id": "chatcmpl-r1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
            for index in range(2)
        ],
    }
    others = [event(TWO.piece(Delta(text="a"))), *events(TWO.ending([STOP, LENGTH], Usage(), FOREBAY))]
    common = {"id", "object", "created", "model"}
    assert len(others) == 4
    assert all({name: each[name] for name in common} == {name: opening[name] for name in common} for each in others)


def test_the_finish_event_says_what_happened() -> None:
    """And only the last one does; none but the extra event carries usage."""
    first, finish, usage = events(TWO.ending([STOP, LENGTH], Usage(), FOREBAY))
    assert finish["forebay"] == FOREBAY
    assert finish["choices"] == [{"index": 1, "delta": {}, "logprobs": None, "finish_reason": "length"}]
    others = [event(TWO.opening(Usage())), event(TWO.piece(Delta(text="a"))), first, usage]
    assert all("forebay" not in each for each in others)
    assert ["usage" in each for each in (*others, finish)] == [False, False, False, True, False]


def test_usage_is_for_those_who_asked() -> None:
    """Without the option the event with the finish reason is the last one before the end."""
    assert [each["choices"][0]["finish_reason"] for each in events(ENCODER.ending([STOP], Usage(), FOREBAY))] == [
        "stop"
    ]


def test_a_tool_call_has_its_type_where_it_begins() -> None:
    """The first piece of a call names id, type and function; the ones after it only add to the arguments."""
    first = ToolCallDelta(0, "c", "f", "")
    then = ToolCallDelta(0, arguments='{"a"')
    calls = [
        event(ENCODER.piece(Delta(tool_calls=(each,))))["choices"][0]["delta"]["tool_calls"] for each in (first, then)
    ]
    assert calls == [
        [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"a"'}}],
    ]


def seen(top_logprobs: int | None, tops: Iterable[TopLogprob]) -> list[Any]:
    """The logprobs object of a whole answer and of a piece, as a caller of `top_logprobs` sees them."""
    tokens = (TokenLogprob("a", -0.5, msgspec.Raw(b"[97]"), tuple(tops)),)
    writer = encoder(top_logprobs)
    whole = Completion(model="m", choices=(Choice(text="a", finish_reason="stop", logprobs=tokens),), usage=Usage())
    raw = (writer.whole(whole, Usage(), FOREBAY), SseDecoder().feed(writer.piece(Delta(text="a", logprobs=tokens)))[0])
    return [json.loads(each)["choices"][0]["logprobs"] for each in raw]


def test_logprobs_that_were_not_asked_for_are_not_shown() -> None:
    """The gateway asks backends for them to score answers; that is not the caller's business."""
    assert seen(None, TOP) == [None, None]


@pytest.mark.parametrize("asked", [0, 1, 3, 5, 20])
def test_no_more_alternatives_than_were_asked_for(asked: int) -> None:
    """The best ones, in order; fewer where there are fewer; the token itself in any case."""
    for found in seen(asked, TOP):
        (token,) = found["content"]
        assert (token["token"], token["logprob"], token["bytes"]) == ("a", -0.5, [97])
        assert [each["token"] for each in token.get("top_logprobs", [])] == list("abcde")[:asked]


def test_asked_for_logprobs_always_have_their_list() -> None:
    """Clients read `top_logprobs` of every token, also where nothing is in it."""
    for found in (*seen(0, TOP), *seen(2, ())):
        assert found["content"][0]["top_logprobs"] == []


def test_a_backend_without_logprobs_shows_none() -> None:
    """Asked for or not, what is not there is null."""
    completion = Completion(model="m", choices=(Choice(text="a", finish_reason="stop"),), usage=Usage())
    assert json.loads(encoder(2).whole(completion, Usage(), FOREBAY))["choices"][0]["logprobs"] is None
    assert event(encoder(2).piece(Delta(text="a")))["choices"][0]["logprobs"] is None


ERRORS: list[tuple[AnswerError, str]] = [
    (RequestError("m", param="temperature"), "invalid_request_error"),
    (RequestError("m", code=Code.INVALID_API_KEY, status=401), "authentication_error"),
    (RequestError("m", code=Code.RESIDENCY_NO_ELIGIBLE_BACKEND, status=403), "permission_error"),
    (RequestError("m", code=Code.MODEL_NOT_FOUND, status=404, param="model"), "invalid_request_error"),
    (RequestError("m", code=Code.BODY_TOO_LARGE, status=413), "invalid_request_error"),
    (Unavailable("m", code=Code.NO_CAPACITY, status=429, retry_after=2), "rate_limit_error"),
    (Unavailable("m", code=Code.RATE_LIMITED, status=429, retry_after=2), "rate_limit_error"),
    (AnswerError("m", code=Code.INTERNAL_ERROR, status=500), "server_error"),
    (Unavailable("m", code=Code.UPSTREAM_ERROR, status=502), "server_error"),
    (Unavailable("m", code=Code.ENGINE_UNAVAILABLE, status=503, retry_after=1), "server_error"),
    (Unavailable("m", code=Code.DEADLINE_EXCEEDED, status=504), "server_error"),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=str)
def test_errors_have_the_shape_of_the_api(error: AnswerError, kind: str) -> None:
    """Message, type, param and code; as a body and as the last event of a stream."""
    expected = {"error": {"message": "m", "type": kind, "param": error.param, "code": error.code.value}}
    assert json.loads(error_body(error)) == expected
    assert event(error_event(error)) == expected
    assert json.loads(error_body(error, FOREBAY)) == expected | {"forebay": FOREBAY}


def test_a_message_of_any_characters_is_one_event() -> None:
    """A line end in a message does not end the event that carries it."""
    error = RequestError('a\r\n\n"\u2028\x00', param="b\nc")
    assert event(error_event(error))["error"]["message"] == 'a\r\n\n"\u2028\x00'
