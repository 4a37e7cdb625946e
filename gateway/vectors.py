"""What a caller asks of an embedding model, and what it answers."""

from msgspec import Struct

from gateway.messages import Request, Usage

TASK, SOURCE = "embeddings", "endpoint"
"""What such requests have where those for text have their task, and how that is known."""

Tokens = tuple[int, ...]
Vector = tuple[float, ...] | bytes
"""Numbers as they came in JSON, or float32 in little-endian order."""


class EmbeddingRequest(Request, frozen=True, kw_only=True):
    """A request for the vector of each of `inputs`, which are texts, or texts cut into tokens.

    `packed` asks for vectors as base64, `dimensions` for shorter ones than the model's own.
    """

    inputs: tuple[str | Tokens, ...]
    packed: bool = False
    dimensions: int | None = None

    @property
    def in_tokens(self) -> bool:
        """Whether some of it is cut into tokens already: those of one model mean nothing to another."""
        return any(not isinstance(each, str) for each in self.inputs)


class Vectors(Struct, frozen=True, kw_only=True):
    """A vector for each input, in their order, of `width` numbers each. `model` is what the backend says answered."""

    model: str
    data: tuple[Vector, ...]
    width: int
    usage: Usage
