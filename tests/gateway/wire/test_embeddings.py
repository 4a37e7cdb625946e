"""Requests for vectors as callers write them, and answers as backends and callers read them."""

import base64
import json
import struct
from typing import Any

import pytest

from gateway.errors import RequestError
from gateway.messages import Hints, Usage, UsageQuality
from gateway.vectors import Vectors
from gateway.wire.openai_embeddings import (
    EmbeddingBody,
    decode_embeddings,
    embedding_body,
    embeddings,
    parse_embeddings,
)
from tests.gateway.nouns import change

HALVES = [0.5, -0.25, 1.0]
PACKED = base64.b64encode(struct.pack("<3f", *HALVES)).decode()


def parsed(**fields: Any) -> Any:
    """A body with these fields, read."""
    return parse_embeddings(json.dumps({"model": "m", "input": "hi", **fields}).encode(), {}, "r-1")


INPUTS: list[tuple[Any, tuple[Any, ...]]] = [
    ("hi", ("hi",)),
    (["a", "b"], ("a", "b")),
    ([1, 2, 3], ((1, 2, 3),)),
    ([[1, 2], [3]], ((1, 2), (3,))),
    (["a", [3]], ("a", (3,))),
    (["x"] * 2048, ("x",) * 2048),
]


@pytest.mark.parametrize(("given", "inputs"), INPUTS)
def test_every_form_of_input(given: Any, inputs: tuple[Any, ...]) -> None:
    """A text, texts, a text in tokens, or several; sent on in the same form."""
    request = parsed(input=given)
    assert request.inputs == inputs
    alone = len(inputs) == 1
    assert json.loads(json.dumps(embedding_body(request, "x")["input"])) == json.loads(
        json.dumps(inputs[0] if alone else inputs)
    )


def test_every_field() -> None:
    """What is asked is kept, what is not known is named, and hints are not sent on."""
    body = {"encoding_format": "base64", "dimensions": 3, "user": "u", "metadata": {"session": "s", "odd": 1}, "x": 1}
    request = parsed(**body)
    assert (request.packed, request.dimensions, request.user) == (True, 3, "u")
    assert request.hints == Hints(session="s")
    assert request.ignored == ("metadata.odd", "x")
    sent = embedding_body(request, "other")
    assert sent == {"model": "other", "input": "hi", "encoding_format": "base64", "dimensions": 3, "user": "u"}
    assert set(EmbeddingBody.__struct_fields__) == {*sent, "metadata"}
    assert embedding_body(parsed(), "m") == {"model": "m", "input": "hi", "encoding_format": "float"}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "text"),
    ({"model": ""}, "model", "length"),
    ({"input": None}, "input", "null"),
    ({"input": ""}, "input", "empty"),
    ({"input": []}, "input", "empty"),
    ({"input": ["a", ""]}, "input[1]", "empty"),
    ({"input": [[1], []]}, "input[1]", "empty"),
    ({"input": [1, "a"]}, "input", "mixes"),
    ({"input": ["a", 1]}, "input", "mixes"),
    ({"input": [-1]}, "input[0]", ">= 0"),
    ({"input": [2**31]}, "input[0]", "<= 2147483647"),
    ({"input": ["x"] * 2049}, "input", "2,049"),
    ({"input": [["a"]]}, "input[0][0]", "whole number"),
    ({"input": {"text": "a"}}, "input", "object"),
    ({"encoding_format": "int8"}, "encoding_format", "int8"),
    ({"dimensions": 0}, "dimensions", ">= 1"),
    ({"dimensions": "many"}, "dimensions", "text"),
    ({"user": "u" * 257}, "user", "length"),
    ({"extra_headers": {}}, "extra_headers", "remove"),
]


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED)
def test_what_cannot_be_asked(fields: dict[str, Any], param: str, words: str) -> None:
    """The field at fault, and what is wrong with it."""
    with pytest.raises(RequestError) as caught:
        parsed(**fields)
    assert (caught.value.param, caught.value.status) == (param, 400)
    assert words in caught.value.message


def answer(*vectors: Any, **more: Any) -> bytes:
    """A backend's answer of vectors, each with its place or without."""
    data = [each if isinstance(each, dict) else {"embedding": each} for each in vectors]
    return json.dumps({"data": data, "model": "m-1", "usage": {"prompt_tokens": 7}, **more}).encode()


def at(index: int, vector: Any) -> dict[str, Any]:
    """An entry that says which text it is of."""
    return {"object": "embedding", "index": index, "embedding": vector}


def test_vectors_stand_at_their_texts() -> None:
    """Whatever order they come in, and in whichever form."""
    found = decode_embeddings(answer(at(1, [1, 2, 3]), at(0, PACKED)), 2)
    assert found == Vectors(
        model="m-1",
        data=(struct.pack("<3f", *HALVES), (1.0, 2.0, 3.0)),
        width=3,
        usage=Usage(prompt=7, quality=UsageQuality.EXACT),
    )
    assert decode_embeddings(answer([1], [2]), 2).data == ((1.0,), (2.0,))
    assert decode_embeddings(b'{"data": [{"embedding": [1]}]}', 1).usage == Usage()


NONE_AT_ALL: list[tuple[bytes, int]] = [
    (answer([1]), 2),
    (answer([1], [2]), 1),
    (answer(at(0, [1]), at(0, [2])), 2),
    (answer(at(0, [1]), at(2, [2])), 2),
    (answer([1], [2, 3]), 2),
    (answer([]), 1),
    (answer(""), 1),
    (answer("%%%"), 1),
    (answer(base64.b64encode(b"abc").decode()), 1),
    (answer(None), 1),
    (answer(["1"]), 1),
    (answer([None]), 1),
    (b'{"object": "list"}', 1),
    (b"<html>", 1),
    (answer([1], usage={"prompt_tokens": -1}), 1),
]


@pytest.mark.parametrize(("raw", "count"), NONE_AT_ALL)
def test_what_is_no_answer(raw: bytes, count: int) -> None:
    """One vector too few or too many, twice the same place, different widths, and what is no vector."""
    with pytest.raises(ValueError):  # noqa: PT011 - of msgspec's errors the backends take any
        decode_embeddings(raw, count)


@pytest.mark.parametrize("given", [tuple(HALVES), struct.pack("<3f", *HALVES)])
@pytest.mark.parametrize(("packed", "written"), [(False, HALVES), (True, PACKED)])
def test_the_caller_gets_the_form_it_asked_for(given: Any, *, packed: bool, written: object) -> None:
    """Also from a backend that knows the other one only."""
    request = change(parsed(), packed=packed)
    vectors = Vectors(model="m", data=(given, given), width=3, usage=Usage())
    raw = embeddings(request, vectors, "m-1", Usage(prompt=4), {"tier": "vectors"})
    assert json.loads(raw) == {
        "object": "list",
        "data": [at(0, written), at(1, written)],
        "model": "m-1",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
        "forebay": {"tier": "vectors"},
    }
