"""`/v1/embeddings`: what a body may hold, the job it becomes, and the answer. Needs no event loop."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from local_models.llama.errors import RequestError
from local_models.llama.jobs import EmbedJob
from local_models.llama.model import Model
from local_models.llama.wire import Priority

MAX_TEXTS: Final = 2048
"""Texts of one request, as OpenAI has it."""
MAX_TOKENS: Final = 300_000
"""Tokens of one request, likewise. On a CPU that is minutes of work, and they can be cancelled between two batches."""
MAX_CHARACTERS: Final = 2_000_000
"""Of one request: about a second of the text thread."""


class EmbeddingRequest(Struct):
    """Body of `/v1/embeddings`: a text, texts, a text in tokens, or several. Unknown fields are ignored."""

    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    priority: Priority | None = None


class _Embedding(Struct):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class _Usage(Struct):
    prompt_tokens: int
    total_tokens: int


class _Answer(Struct):
    object: Literal["list"]
    data: list[_Embedding]
    model: str
    usage: _Usage


@dataclass(frozen=True, slots=True)
class EmbedAsk:
    """A request ready to be submitted, and how its answer is to be written."""

    job: EmbedJob
    packed: bool
    """Vectors as base64 of little-endian float32, which is what OpenAI's own clients ask for."""


class EmbedAsks:
    """Makes jobs for one loaded model; a text may have `context` tokens. Methods may be called from any thread."""

    def __init__(self, model: Model, *, context: int) -> None:
        self._vocabulary = model.vocabulary
        self._context = context
        self._width = model.width

    def embed(self, request: EmbeddingRequest, number: int) -> EmbedAsk:
        """Job `number` for a request. Raises RequestError."""
        if request.dimensions not in (None, self._width):
            raise RequestError(
                400,
                "unsupported",
                f"this model's vectors have {self._width} numbers, and it was not made for them to be cut",
                param="dimensions",
            )
        texts = tuple(self._tokens(part, name) for name, part in _parts(request.input))
        tokens = sum(text.size for text in texts)
        if tokens > MAX_TOKENS:
            raise _wrong(f"{tokens:,} tokens are over the limit of {MAX_TOKENS:,} of one request", "input")
        job = EmbedJob(number, texts, priority=request.priority or 0)
        return EmbedAsk(job, packed=request.encoding_format == "base64")

    def _tokens(self, part: str | list[int], name: str) -> NDArray[np.int32]:
        if isinstance(part, str):
            # Nobody's template: names of control tokens in it are text.
            tokens = self._vocabulary.tokenize(part, add_special=True, parse_special=False) if part else []
        else:
            tokens = part
            if not all(0 <= token < self._vocabulary.size for token in tokens):
                raise _wrong(f"{name}: tokens are numbers from 0 to {self._vocabulary.size - 1}", name)
        if not tokens:
            raise _wrong(f"{name} is empty", name)
        if len(tokens) > self._context:
            raise RequestError(
                400,
                "context_length_exceeded",
                f"This model's maximum context length is {self._context} tokens, and {name} has {len(tokens)}.",
                param=name,
            )
        return np.array(tokens, dtype=np.int32)


def answer(ask: EmbedAsk, vectors: NDArray[np.float32], model: str) -> bytes:
    """The body of an answer."""
    data = [_Embedding("embedding", index, _written(vector, ask)) for index, vector in enumerate(vectors)]
    return msgspec.json.encode(_Answer("list", data, model, _Usage(ask.job.tokens, ask.job.tokens)))


def _written(vector: NDArray[np.float32], ask: EmbedAsk) -> list[float] | str:
    if ask.packed:
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.tolist()
    return numbers


def _parts(given: str | Sequence[str | int | list[int]]) -> list[tuple[str, str | list[int]]]:
    """Every text with the name of its place. Raises RequestError for a mixture, or too much."""
    if isinstance(given, str):
        parts: list[tuple[str, str | list[int]]] = [("input", given)]
    elif tokens := [part for part in given if isinstance(part, int)]:
        if len(tokens) < len(given):
            raise _wrong("input mixes tokens with texts: give one text in tokens, or a list of texts", "input")
        parts = [("input", tokens)]
    else:
        parts = [(f"input[{place}]", part) for place, part in enumerate(given) if not isinstance(part, int)]
    if len(parts) > MAX_TEXTS:
        raise _wrong(f"{len(parts):,} texts are over the limit of {MAX_TEXTS:,} of one request", "input")
    characters = sum(len(part) for _, part in parts)
    if characters > MAX_CHARACTERS:
        raise _wrong(f"{characters:,} characters are over the limit of {MAX_CHARACTERS:,} of one request", "input")
    return parts


def _wrong(message: str, param: str) -> RequestError:
    return RequestError(400, "invalid_value", message, param=param)
