"""The seam between the request path and the APIs that callers speak: how a body is read, how an answer is written."""

from collections.abc import Sequence
from typing import Protocol

from gateway.errors import AnswerError
from gateway.messages import ChatRequest, Completion, Delta, Usage
from gateway.outcome import Forebay


class AnswerWriter(Protocol):
    """Writes one answer, whole or as a stream. Whoever streams calls `opening`, `piece` and `ending` in this order."""

    def whole(self, completion: Completion, usage: Usage, forebay: Forebay) -> bytes:
        """A body."""

    def opening(self, usage: Usage) -> bytes:
        """What comes before the first piece; `usage` is as far as it is known by then."""

    def piece(self, delta: Delta) -> bytes:
        """One piece of the answer."""

    def ending(self, finish: Sequence[Delta], usage: Usage, forebay: Forebay) -> bytes:
        """What comes after the last piece of a stream that ended well: finish reasons and what happened."""


class ErrorDialect(Protocol):
    """How one API tells errors. `request_id_header` is where its clients look for a request's id, too."""

    @property
    def request_id_header(self) -> str | None:
        """A header's name in lower case."""

    def status(self, error: AnswerError) -> int:
        """The HTTP status of an error."""

    def error_body(self, error: AnswerError, request_id: str) -> bytes:
        """The JSON body of an error."""

    def error_event(self, error: AnswerError, request_id: str) -> bytes:
        """The event that ends a broken stream; nothing follows it."""


class Dialect(ErrorDialect, Protocol):
    """One API for answers in text."""

    def parse(self, raw: bytes, hints: dict[str, str], request_id: str) -> ChatRequest:
        """Read a body; `hints` are the x-forebay-* headers without their prefix. Raises RequestError."""

    def writer(self, request: ChatRequest, model: str) -> AnswerWriter:
        """A writer of the answer to `request`; `model` is what answers, as far as it has said so."""
