"""OpenAI's embeddings API: read from a caller, written to a backend, read from a backend, written to a caller."""

import base64
import sys
import time
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.errors import RequestError
from gateway.messages import JsonObject, Usage, UsageQuality
from gateway.outcome import Forebay
from gateway.vectors import EmbeddingRequest, Tokens, Vector, Vectors
from gateway.wire.fields import refuse_unsafe, told, unknown_fields
from gateway.wire.hints import Short, read_hints
from gateway.wire.validation import convert, read_object

T = TypeVar("T", str, Tokens)

MAX_INPUTS = 2048
"""Texts of one request, as OpenAI has it."""

TokenId = Annotated[int, Meta(ge=0, lt=2**31)]
_FLOAT_BYTES = 4
# A count beyond this is no count; what passes still gives sums that fit the ledger's 64 bits at any price.
_Tokens = Annotated[int, Meta(ge=0, le=10**9)]


class EmbeddingBody(Struct):
    """The body of POST /v1/embeddings, field by field."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | list[str | TokenId | list[TokenId]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    user: Short | None = None
    metadata: dict[str, Any] | None = None


_BODY_FIELDS = frozenset(EmbeddingBody.__struct_fields__)


class _Found(Struct):
    embedding: str | list[float]
    index: int | None = None


class _FoundUsage(Struct):
    prompt_tokens: _Tokens = 0


class _Answer(Struct):
    data: tuple[_Found, ...]
    model: str = ""
    usage: _FoundUsage | None = None


class _Embedding(Struct):
    object: str
    index: int
    embedding: str | Sequence[float]


class _Usage(Struct):
    prompt_tokens: int
    total_tokens: int


class _Embeddings(Struct):
    object: str
    data: list[_Embedding]
    model: str
    usage: _Usage
    forebay: Forebay


_encode = msgspec.json.Encoder().encode
_answer_decoder = msgspec.json.Decoder(_Answer)


def parse_embeddings(raw: bytes, header_hints: dict[str, str], request_id: str) -> EmbeddingRequest:
    """Read a body of POST /v1/embeddings. `header_hints` are x-forebay-* headers without their prefix.

    Raises RequestError with `param` naming the field at fault.
    """
    fields = read_object(raw, EmbeddingBody)
    refuse_unsafe(fields)
    body = convert(fields, EmbeddingBody)
    hints, ignored = read_hints(body.metadata or {}, header_hints)
    ignored += unknown_fields(fields, _BODY_FIELDS)
    return EmbeddingRequest(
        id=request_id,
        created=int(time.time()),
        requested_model=body.model,
        inputs=_inputs(body.input),
        packed=body.encoding_format == "base64",
        dimensions=body.dimensions,
        user=body.user,
        hints=hints,
        ignored=told(ignored),
    )


def embedding_body(request: EmbeddingRequest, model: str) -> JsonObject:
    """The body for one attempt. A single text goes as it is: some backends take no lists."""
    inputs = request.inputs
    body: JsonObject = {"model": model, "input": inputs[0] if len(inputs) == 1 else inputs}
    body["encoding_format"] = "base64" if request.packed else "float"
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    return body


def decode_embeddings(raw: bytes, count: int) -> Vectors:
    """The vectors of `count` inputs. Raises msgspec.DecodeError (or a subclass) or ValueError when they are none.

    Whoever mixes them up, or leaves one out, would have every later one stored under the wrong text.
    """
    answer = _answer_decoder.decode(raw)
    places = [place if each.index is None else each.index for place, each in enumerate(answer.data)]
    if sorted(places) != list(range(count)):
        raise ValueError("the answer does not have one vector for each input")
    by_place = dict(zip(places, answer.data, strict=True))
    data = tuple(_vector(by_place[place].embedding) for place in range(count))
    widths = {_width(vector) for vector in data}
    if len(widths) != 1 or 0 in widths:
        raise ValueError("the vectors are not of one width")
    counted = answer.usage
    usage = Usage() if counted is None else Usage(prompt=counted.prompt_tokens, quality=UsageQuality.EXACT)
    return Vectors(model=answer.model, data=data, width=widths.pop(), usage=usage)


def embeddings(request: EmbeddingRequest, vectors: Vectors, model: str, usage: Usage, forebay: Forebay) -> bytes:
    """The body of an answer, in the form that was asked for whichever the backend gave."""
    write = _packed if request.packed else _numbers
    data = [_Embedding("embedding", index, write(vector)) for index, vector in enumerate(vectors.data)]
    return _encode(_Embeddings("list", data, model, _Usage(usage.prompt, usage.prompt), forebay))


def _inputs(given: str | list[str | int | list[int]]) -> tuple[str | Tokens, ...]:
    """Each text or list of tokens. Raises RequestError for a mixture, for what is empty, and for too many."""
    if isinstance(given, str):
        return (_not_empty(given, "input"),)
    tokens = [part for part in given if isinstance(part, int)]
    if tokens or not given:
        if len(tokens) < len(given):
            raise RequestError(
                "input mixes tokens with texts: give one text in tokens, or a list of texts", param="input"
            )
        return (_not_empty(tuple(tokens), "input"),)
    if len(given) > MAX_INPUTS:
        raise RequestError(f"input has {len(given):,} texts; one request may have {MAX_INPUTS:,}", param="input")
    return tuple(_input(part, f"input[{place}]") for place, part in enumerate(given) if not isinstance(part, int))


def _input(part: str | list[int], name: str) -> str | Tokens:
    return _not_empty(part, name) if isinstance(part, str) else _not_empty(tuple(part), name)


def _not_empty(text: T, name: str) -> T:
    if not text:
        raise RequestError(f"{name} is empty", param=name)
    return text


def _vector(found: str | list[float]) -> Vector:
    """Raises ValueError for base64 that is none, or no whole number of floats."""
    if not isinstance(found, str):
        return tuple(found)
    packed = base64.b64decode(found, validate=True)
    if len(packed) % _FLOAT_BYTES:
        raise ValueError("a vector in base64 is cut off")
    return packed


def _width(vector: Vector) -> int:
    return len(vector) // _FLOAT_BYTES if isinstance(vector, bytes) else len(vector)


def _packed(vector: Vector) -> str:
    raw = vector if isinstance(vector, bytes) else _little(array("f", vector)).tobytes()
    return base64.b64encode(raw).decode("ascii")


def _numbers(vector: Vector) -> Sequence[float]:
    if not isinstance(vector, bytes):
        return vector
    return _little(array("f", vector)).tolist()


def _little(numbers: "array[float]") -> "array[float]":
    """Between this machine's order of bytes and the wire's, which is little-endian."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
