"""Calls are read back out of what a model wrote, in every family's way and however the text is cut into pieces."""

import json
import random
from itertools import pairwise
from typing import Any

import pytest

from local_models.llama.speaker import Speaker
from local_models.llama.tools.families import FAMILIES
from local_models.llama.tools.hermes import HERMES
from local_models.llama.tools.llama3 import LLAMA3
from local_models.llama.tools.mistral import MISTRAL, MISTRAL_ARGS
from local_models.llama.tools.notation import Notation
from local_models.llama.tools.reader import Arguments, CallBegins, CallReader, Text
from local_models.llama.turns import Call

PAIR = (
    Call("", "get_weather", '{"city": "Pa}\\"ris {", "days": [1, {"a": "]"}]}'),
    Call("", "ns.add:2-b", '{ "a" : 1 }'),
)

Said = tuple[str, list[tuple[str, str]]]


def read(notation: Notation, pieces: list[str]) -> Said:
    """Plain text and calls of an answer that came in these pieces."""
    reader = CallReader(notation)
    found = [item for piece in pieces for item in reader.feed(piece)] + reader.finish()
    text = "".join(item.text for item in found if isinstance(item, Text))
    calls: list[tuple[str, str]] = []
    for item in found:
        if isinstance(item, CallBegins):
            assert item.index == len(calls)
            calls.append((item.name, ""))
        elif isinstance(item, Arguments):
            assert item.index == len(calls) - 1
            calls[-1] = (calls[-1][0], calls[-1][1] + item.text)
    assert reader.calls == len(calls)
    return text, calls


def cuts(text: str) -> list[list[str]]:
    """The text whole, character by character, and cut at random."""
    found = [[text], list(text)]
    for seed in range(20):
        dice = random.Random(seed)
        places = sorted({0, len(text), *(dice.randrange(len(text)) for _ in range(6))})
        found.append([text[begin:end] for begin, end in pairwise(places)])
    return found


@pytest.mark.parametrize("notation", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("calls", [PAIR, PAIR[:1]], ids=["two", "one"])
def test_what_a_family_writes_is_read_back(notation: Notation, calls: tuple[Call, ...]) -> None:
    """Names and arguments come back letter by letter, however the answer was cut, and nothing else is said."""
    written = notation.written(calls)
    for pieces in cuts(written):
        assert read(notation, pieces) == ("", [(call.name, call.arguments) for call in calls])


WRITTEN: list[tuple[str, Notation, str, Said]] = [
    (
        "words, then a call",
        HERMES,
        'Let me see.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
        ("Let me see.\n", [("f", "{}")]),
    ),
    (
        "white space of its own",
        HERMES,
        '\n<tool_call>{ "name" :"f" ,\n"arguments":{"a":1}\n}</tool_call>',
        ("", [("f", '{"a":1}')]),
    ),
    ("no call", HERMES, "2 < 3, and <tool is no call", ("2 < 3, and <tool is no call", [])),
    ("almost a call", HERMES, "<tool_cal", ("<tool_cal", [])),
    ("nothing", HERMES, "", ("", [])),
    ("cut in the marker's call", HERMES, '<tool_call>\n{"na', ("", [])),
    ("cut in the arguments", HERMES, '<tool_call>\n{"name": "f", "arguments": {"a": "x', ("", [("f", '{"a": "x')])),
    (
        "cut between two",
        HERMES,
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_',
        ("", [("f", "{}")]),
    ),
    ("an escaped name", HERMES, '<tool_call>{"name": "\\u0066", "arguments": {}}', ("", [("f", "{}")])),
    (
        "after the control token",
        LLAMA3,
        '<|python_tag|>{"name": "f", "parameters": {"a": 1}}',
        ("", [("f", '{"a": 1}')]),
    ),
    ("after white space", LLAMA3, ' \n{"name": "f", "parameters": {}}', ("", [("f", "{}")])),
    ("with the other word", LLAMA3, '{"name": "f", "arguments": {}}', ("", [("f", "{}")])),
    ("only at the start", LLAMA3, 'See {"name": "f", "parameters": {}}', ('See {"name": "f", "parameters": {}}', [])),
    ("an object that is none", LLAMA3, '{"names": 1}', ('{"names": 1}', [])),
    (
        "ids behind",
        MISTRAL,
        '[TOOL_CALLS] [{"name": "f", "arguments": {}, "id": "abcdefghi"}, {"name": "g", "arguments": {}}]',
        ("", [("f", "{}"), ("g", "{}")]),
    ),
    (
        "words before",
        MISTRAL_ARGS,
        "Well:[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g[ARGS]{}",
        ("Well:", [("f", "{}"), ("g", "{}")]),
    ),
]


@pytest.mark.parametrize(("notation", "text", "said"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN])
def test_answers_are_read_as_they_are_meant(notation: Notation, text: str, said: Said) -> None:
    """Text before calls stays text, white space is free, what only looks like a call is text, nothing is made up."""
    for pieces in cuts(text) if text else [[""]]:
        assert read(notation, pieces) == said


def test_text_goes_out_as_soon_as_it_cannot_become_a_call() -> None:
    """A stream waits for a possible marker and for nothing else."""
    reader = CallReader(HERMES)
    assert reader.feed("Hello <") == [Text("Hello ")]
    assert reader.feed("b> and <tool_call") == [Text("<b> and ")]
    assert reader.feed(">") == []
    assert reader.feed('{"name": "f", "arguments": {"a"') == [CallBegins(0, "f"), Arguments(0, '{"a"')]
    assert reader.feed(": 1}}") == [Arguments(0, ": 1}")]


def test_deltas_and_whole_messages_say_the_same() -> None:
    """Id, type and name come with a call's first piece, its arguments after it; each call has an id of its own."""
    written = "So:\n" + HERMES.written(PAIR)
    speaker = Speaker(HERMES)
    deltas = [speaker.said(piece, over=False) for piece in written] + [speaker.said("", over=True)]
    content = ""
    calls: dict[int, dict[str, str]] = {}
    for delta in deltas:
        content += delta.content or ""
        for call in delta.tool_calls or []:
            if call.id:
                assert call.type == "function"
                calls[call.index] = {"id": call.id, "name": str(call.function.name), "arguments": ""}
            calls[call.index]["arguments"] += call.function.arguments or ""
    message: Any = Speaker(HERMES).message(written)
    assert content == message.content == "So:\n"
    assert [(call["name"], call["arguments"]) for call in calls.values()] == [
        (call.function.name, call.function.arguments) for call in message.tool_calls
    ]
    assert [json.loads(call["arguments"]) for call in calls.values()] == [json.loads(call.arguments) for call in PAIR]
    assert len({call["id"] for call in calls.values()} | {call.id for call in message.tool_calls}) == 4
