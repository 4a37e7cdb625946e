"""Streams from providers: those that break after their first words, and those that are odd but whole."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import openai
import pytest
from msgspec.structs import replace
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import LIGHT, TO_LIGHT
from tests.e2e.faults_table import BREAKS
from tests.e2e.stack import Stack
from tests.e2e.wire import Wire
from tests.faults.behaviours import Raw, Says, Tool
from tests.faults.handle import FaultServer

WORDS = " ".join(f"word{number}" for number in range(40))
HELLO = "Say hello."


@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks_ends_in_an_error_event(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, name: str
) -> None:
    """What had come is there, then one error and nothing more: no [DONE], no finish reason, no `forebay` object."""
    faults.next(frail_backend, replace(BREAKS[name], text=WORDS))
    read = frail_stack.events(frail_backend)
    assert read.response.status_code == 200
    assert read.text.startswith("word0")
    assert WORDS.startswith(read.text)
    assert not read.done
    assert read.finish_reason is None
    assert read.error is not None
    assert set(read.error) == {"message", "type", "param", "code"}
    assert (read.error["code"], read.error["type"]) == ("upstream_interrupted", "server_error")
    assert [("error" in event) for event in read.events].index(True) == len(read.events) - 1
    assert read.forebay is None
    request_id = read.response.headers["x-request-id"]
    row = agree(Told.streamed(read), frail_stack.books, request_id, faults.settled())
    assert (row["status"], row["backend"], row["usage_quality"]) == ("interrupted", frail_backend, "estimated")
    (attempt,) = frail_stack.books.attempts(request_id)
    assert (attempt["status"], attempt["finish_reason"]) == ("interrupted", None)
    assert len(faults.calls()) == 1, "nothing is switched or asked again once a word has gone out"


def read_pieces(client: openai.OpenAI, model: str, seen: list[str]) -> None:
    """Add the pieces of a streamed answer to `seen` as they come; none of them is the end of it."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": HELLO}]
    for chunk in client.chat.completions.create(model=model, messages=messages, stream=True):
        seen.append(chunk.choices[0].delta.content or "")
        assert chunk.choices[0].finish_reason is None


@pytest.mark.parametrize("name", ["close", "end-without-finish", "error-event"])
def test_the_client_library_raises_on_a_broken_stream(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, name: str
) -> None:
    """openai.APIError after the pieces; on a silent end it would have taken them for the answer."""
    faults.next(frail_backend, replace(BREAKS[name], text=WORDS))
    seen: list[str] = []
    with frail_stack.openai() as client, pytest.raises(openai.APIError) as error:
        read_pieces(client, frail_backend, seen)
    assert "".join(seen) == "word0 word1 word2 word3 word4"
    assert error.value.code == "upstream_interrupted"


def test_a_light_stream_that_breaks_in_its_window_is_replaced(tiers: Stack, faults: FaultServer) -> None:
    """What was held back was never seen: the next candidate answers as if nothing had been."""
    faults.next(LIGHT, Says(text=WORDS, ends="close", after=10))
    read = tiers.events(headers=TO_LIGHT)
    assert (read.text, read.done) == ("All is well.", True)
    assert read.forebay is not None
    assert (read.forebay["backend"], read.forebay["reason"]) == ("mini", "upstream_error")
    light, _ = tiers.books.attempts(read.forebay["request_id"])
    assert (light["status"], light["completion_tokens"]) == ("failed", 10)


def test_an_end_without_done_is_an_end(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """With a finish reason and a proper end of the body, [DONE] may be missing; the caller gets it all the same."""
    faults.next(frail_backend, Says(text=WORDS, ends="eof", after=40))
    read = frail_stack.events(frail_backend)
    assert (read.text, read.finish_reason, read.done, read.error) == (WORDS, "stop", True, None)


def test_a_stream_cut_at_any_byte_is_never_a_success(
    frail_stack: Stack, faults: FaultServer, frail_names: Iterator[str]
) -> None:
    """Reset at the k-th byte of the response: an error status or an error event, whatever k."""
    says = Says(text="One two three four.")
    faults.next("rec0", says)
    with Wire(faults.url) as wire:
        wire.post({"model": "rec0", "messages": [], "stream": True, "stream_options": {"include_usage": True}})
        length = len(wire.until(b"[DONE]")) - len("[DONE]")
    statuses = [
        frail_stack.books.request(cut_at(frail_stack, faults, next(frail_names), replace(says, reset_at=k)))["status"]
        for k in range(0, length, 61)
    ]
    assert len(statuses) > 20
    assert set(statuses) == {"interrupted", "refused"}
    assert statuses == sorted(statuses, reverse=True), "nothing had been sent at first, and something from then on"


def cut_at(stack: Stack, faults: FaultServer, backend: str, says: Says) -> str:
    """Ask a backend that breaks off; returns the request's id once nothing in the answer looked like a success."""
    faults.next(backend, says)
    with stack.stream(backend) as response:
        raw = response.read()
    assert b"[DONE]" not in raw
    assert b'"finish_reason":"stop"' not in raw
    assert raw.count(b'"error"') == 1
    assert response.status_code == (200 if b"data: " in raw else 502)
    return response.headers["x-request-id"]


def chunk(text: str | None, finish: str | None = None, index: int = 0) -> str:
    """The data of one event; its JSON is not escaped."""
    delta = {} if text is None else {"content": text}
    return json.dumps(
        {"model": "odd", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}, ensure_ascii=False
    )


ODD_TEXT = "a\u2028b\u2029c\x85d\x7fe\ufeff \N{GRINNING FACE}"
PARTS = (chunk(ODD_TEXT[:6]), chunk(ODD_TEXT[6:]), chunk(None, "stop"))
WELL: Mapping[str, str] = MappingProxyType(
    {
        "lf": "".join(f"data: {part}\n\n" for part in PARTS),
        "crlf": "".join(f"data: {part}\r\n\r\n" for part in PARTS),
        "cr": "".join(f"data: {part}\r\r" for part in PARTS),
        "no-space": "".join(f"data:{part}\n\n" for part in PARTS),
        "bom": "\ufeff" + "".join(f"data: {part}\n\n" for part in PARTS),
        "comments": "".join(f": ping\n\n:\ndata: {part}\n\n" for part in PARTS),
        "names-and-ids": "".join(f"event: message\nid: 7\nretry: 1\ndata: {part}\n\n" for part in PARTS),
        "several-lines": "".join("data: " + part.replace(", ", ",\ndata: ") + "\n\n" for part in PARTS),
        "with-done": "".join(f"data: {part}\n\n" for part in (*PARTS, "[DONE]")),
        "unknown-fields": "".join(f'data: {part[:-1]}, "x_groq": {{"id": 1}}}}\n\n' for part in PARTS),
        "empty-choices-first": 'data: {"model": "odd", "choices": []}\n\n'
        + "".join(f"data: {part}\n\n" for part in PARTS),
    }
)


@pytest.mark.parametrize("name", WELL)
def test_an_odd_but_whole_stream_comes_through_to_the_letter(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, name: str
) -> None:
    """However its lines end and whatever stands between them, the text is the provider's, character by character."""
    body = WELL[name].encode().decode("latin-1")
    faults.next(frail_backend, Raw(body=body, content_type="text/event-stream; charset=utf-8"))
    read = frail_stack.events(frail_backend)
    assert read.error is None
    assert (read.text, read.finish_reason, read.done) == (ODD_TEXT, "stop", True)


def test_a_choice_left_open_is_no_success(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """Of two choices one has a finish reason: the stream ends in an error all the same."""
    events = (chunk("a"), chunk("b", index=1), chunk(None, "stop"), "[DONE]")
    raw = Raw(body="".join(f"data: {event}\n\n" for event in events), content_type="text/event-stream")
    faults.next(frail_backend, raw)
    read = frail_stack.events(frail_backend, n=2)
    assert read.error is not None
    assert not read.done


def test_a_large_event_comes_through(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """Two megabytes in one event are no reason to stop."""
    text = "x" * (2 << 20)
    faults.next(frail_backend, Says(text=text))
    read = frail_stack.events(frail_backend)
    assert read.error is None
    assert read.text == text


def test_control_characters_of_a_model_stay_inside_the_events(
    frail_stack: Stack, faults: FaultServer, frail_backend: str
) -> None:
    """Line ends, NUL and things that look like events in an answer come out as they went in, in one stream."""
    text = 'a\r\n\r\ndata: [DONE]\n\ndata: {"error": {}}\n\n\x00\rb'
    faults.next(frail_backend, Says(text=text))
    read = frail_stack.events(frail_backend)
    assert (read.text, read.done, read.error) == (text, True, None)


def test_tool_calls_stream_piece_by_piece(tiers: Stack, faults: FaultServer) -> None:
    """Deltas of tool calls arrive with index, id, name and arguments, and add up in the client's own accumulator."""
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    faults.next("premium", Says(tools=(Tool("look_up", '{"q": "one two"}'), Tool("look_up", "{}"))))
    read = tiers.events("premium", tools=[tool])
    calls: dict[int, list[str]] = {}
    for event in read.events:
        for each in event["choices"][0]["delta"].get("tool_calls", ()):
            found = calls.setdefault(each["index"], ["", "", ""])
            found[0] += each.get("id") or ""
            found[1] += each["function"].get("name") or ""
            found[2] += each["function"].get("arguments") or ""
    assert calls == {0: ["call_0", "look_up", '{"q": "one two"}'], 1: ["call_1", "look_up", "{}"]}
    assert read.finish_reason == "tool_calls"
