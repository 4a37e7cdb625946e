"""Whether a model may do what its engine is for: generate text, or give one vector for a whole text. Pure.

A file for embeddings says in its metadata how the vectors of the tokens become one (`<architecture>.pooling_type`).
A model made for text says nothing, and what it gives then depends on a choice that somebody has to make: without it
the vectors would look like any others and find nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.types import Pooling

NUMBERS: Final[Mapping[Pooling, int]] = MappingProxyType({"mean": 1, "cls": 2, "last": 3})
"""llama.cpp's `enum llama_pooling_type`; 0 is none, 4 a reranker's."""
_NONE: Final = 0
_WORDS: Final = "with runner: pooling also write pooling: mean (or last, cls)"


@dataclass(frozen=True, slots=True)
class Nature:
    """What a file says of its model. `pooling` is llama.cpp's number, None where nothing is said.

    `reads_back`: every token sees those after it, so no next one can be asked for. `two_parts`: an encoder feeds a
    decoder, which neither of this engine's runners does.
    """

    path: Path
    pooling: int | None
    reads_back: bool
    two_parts: bool

    @property
    def says(self) -> int | None:
        """The pooling it was made for."""
        return None if self.pooling == _NONE else self.pooling


def check_generates(nature: Nature) -> None:
    """Return when text can be generated. Raises StartError that says what to write instead."""
    _check_whole(nature)
    if nature.says is not None:
        raise _refused(nature, "is an embedding model, which cannot generate: write runner: pooling")
    if nature.reads_back:
        raise _refused(nature, f"is an encoder model, which cannot generate: give a text model, or {_WORDS}")


def agreed_pooling(nature: Nature, asked: Pooling | None) -> int:
    """llama.cpp's number for how vectors are pooled. Raises StartError where file and configuration do not agree."""
    _check_whole(nature)
    known = {number: name for name, number in NUMBERS.items()}
    if nature.says is None:
        if asked is not None:
            return NUMBERS[asked]
        kind = "does not say how to pool" if nature.reads_back else "is made to generate text"
        raise _refused(nature, f"{kind}, and its vectors may be of little use: {_WORDS}")
    if nature.says not in known:
        raise _refused(nature, f"is no embedding model (its pooling is {nature.says}): give one")
    if asked not in (None, known[nature.says]):
        raise _refused(nature, f"is made for pooling: {known[nature.says]}, not {asked}: leave pooling out")
    return nature.says


def _check_whole(nature: Nature) -> None:
    if nature.two_parts:
        raise _refused(nature, "has an encoder and a decoder, which this engine does not run: give another model")


def _refused(nature: Nature, why: str) -> StartError:
    return StartError(f"{nature.path} {why}", EXIT_REFUSED)
