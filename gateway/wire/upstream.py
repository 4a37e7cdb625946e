"""The seam between the HTTP of a backend and the API it speaks: how its answers, events and errors are read."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from gateway.errors import Reason
from gateway.messages import Completion, Delta, Usage


class ErrorEvent(ValueError):
    """A stream was ended by an event that says so."""


class Fault(Struct, frozen=True):
    """What an error status means. `reason` is why the next backend is tried.

    `callers`: whether the request is at fault, which another backend may yet take; None leaves that to the status.
    """

    reason: Reason
    code: str | None = None
    param: str | None = None
    callers: bool | None = None


class EventReader(Protocol):
    """Reads the events of one stream. `done`: the API's own mark of the end has come; `finished`: every choice has a
    finish reason.
    """

    @property
    def model(self) -> str:
        """What the backend says answers; empty until it has said so."""

    @property
    def usage(self) -> Usage:
        """Tokens counted so far."""

    @property
    def done(self) -> bool:
        """Nothing more is read."""

    @property
    def finished(self) -> bool:
        """The answer is whole."""

    def take(self, data: bytes, into: list[Delta]) -> None:
        """Read one event; its pieces go `into` the list.

        Raises ErrorEvent where it ends the stream, msgspec.MsgspecError or ValueError where it is not of this API.
        """


class UpstreamApi(Protocol):
    """One API as backends speak it."""

    def completion(self, raw: bytes) -> Completion:
        """A whole answer. Raises msgspec.MsgspecError or ValueError when it is none."""

    def events(self) -> EventReader:
        """A reader for one stream."""

    def fault(self, status: int, raw: bytes) -> Fault:
        """What an error status with this body means."""

    def pause_s(self, headers: Mapping[str, str]) -> float:
        """For how many seconds the headers of an answer say that no further call will be taken; 0 when they do not."""
