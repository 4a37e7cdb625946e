"""The seams between stages: protocols that have two adapters, or an adapter and a fake."""

from typing import Protocol

from msgspec import Struct

from gateway.messages import ChatRequest, Completion, Delta, Usage
from gateway.outcome import Outcome
from gateway.types import BackendSpec, Priority
from gateway.vectors import EmbeddingRequest, Vectors


class Call(Struct, frozen=True, kw_only=True):
    """One physical call. `max_tokens` overrides the caller's, `top_logprobs` None asks for no logprobs.

    `deadline` is on the loop's clock. `priority` is for engines that serve by it.
    """

    request: ChatRequest
    deadline: float
    max_tokens: int | None
    top_logprobs: int | None
    priority: Priority = Priority.NORMAL


class AnswerStream(Protocol):
    """An answer that arrives in pieces. Use from one task; close it whatever happens."""

    @property
    def model(self) -> str:
        """What the backend says answers; empty until it has said so."""

    @property
    def usage(self) -> Usage:
        """Tokens counted so far; final once `batch` returned nothing."""

    @property
    def pause_s(self) -> float:
        """For how many seconds the backend will take no further call, a limit of its own being used up."""

    async def batch(self) -> list[Delta]:
        """The pieces that arrived since the last call; empty at a proper end. Raises BackendError."""

    def close(self) -> None:
        """Hang up. After a proper end the connection is kept; before it, generation stops at the other side."""


class Backend(Protocol):
    """Something that answers. Every failure is a BackendError, or Rejected where no call could be made at all."""

    @property
    def spec(self) -> BackendSpec:
        """Its static facts."""

    @property
    def standby(self) -> "Backend | None":
        """Who answers under the same name while its engine is not up, where there is somebody."""

    def ignores(self, request: ChatRequest) -> tuple[str, ...]:
        """Fields of `request` that this backend is never sent."""

    async def complete(self, call: Call) -> Completion:
        """The whole answer."""

    async def stream(self, call: Call) -> AnswerStream:
        """The answer in pieces; returns once the backend has accepted the request."""

    async def count(self, request: ChatRequest, deadline: float) -> int | None:
        """The tokens of its prompt, None where this backend cannot tell. It answers nothing and costs nothing."""


class VectorBackend(Protocol):
    """Something that gives vectors. Every failure is a BackendError, or Rejected where no call could be made at all."""

    @property
    def spec(self) -> BackendSpec:
        """Its static facts."""

    def ignores(self, request: EmbeddingRequest) -> tuple[str, ...]:
        """Fields of `request` that this backend is never sent."""

    async def embed(self, request: EmbeddingRequest, deadline: float, priority: Priority) -> Vectors:
        """A vector for each input; `deadline` is on the loop's clock."""


class Recorder(Protocol):
    """Somebody who is told of every finished request. Must not block and must not raise."""

    def record(self, outcome: Outcome) -> None:
        """Take note of `outcome`."""
