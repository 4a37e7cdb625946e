"""OpenAI's chat API behind `upstream.UpstreamApi`."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from gateway.errors import Reason
from gateway.messages import Completion, Delta, Usage
from gateway.wire.openai_upstream import GIVEN_UP, FoundUsage, decode_chunk, decode_completion, decode_error, usage
from gateway.wire.sse import DONE
from gateway.wire.upstream import ErrorEvent, Fault

_TOO_LONG = re.compile(r"context.length|maximum context|max_model_len|too many tokens", re.IGNORECASE)


class _Tokenized(Struct):
    count: Annotated[int, Meta(ge=0, le=10**9)]


_tokenized_decoder = msgspec.json.Decoder(_Tokenized)


class OpenAIApi:
    """See `upstream.UpstreamApi`."""

    def completion(self, raw: bytes) -> Completion:
        """A whole answer."""
        return decode_completion(raw)

    def events(self) -> "OpenAIEvents":
        """A reader for one stream."""
        return OpenAIEvents()

    def fault(self, status: int, raw: bytes) -> Fault:
        """What an error status with this body means."""
        code, param, message = decode_error(raw)
        return Fault(_reason(status, code, message), code, param)

    def pause_s(self, _headers: Mapping[str, str]) -> float:
        """Its limits are told in headers of many forms; a 429 is waited for."""
        return 0.0


def decode_token_count(raw: bytes) -> int:
    """What an engine's /tokenize says. Raises msgspec.DecodeError (or a subclass)."""
    return _tokenized_decoder.decode(raw).count


class Event(Protocol):
    """What one event of a stream says."""

    @property
    def error(self) -> object:
        """Anything but None ends the stream."""

    @property
    def model(self) -> str:
        """What answers, where it says so."""

    @property
    def usage(self) -> FoundUsage | None:
        """The tokens, where it says so."""

    def deltas(self) -> list[Delta]:
        """The pieces, one per choice."""


class OpenAIEvents:
    """See `upstream.EventReader`. `decode` reads one event, a chat's if nothing else is given."""

    def __init__(self, decode: Callable[[bytes], Event] = decode_chunk) -> None:
        self._decode = decode
        self.model = ""
        self.usage = Usage()
        self.done = False
        self._open_choices: set[int] = set()
        self._seen_finish = False

    @property
    def finished(self) -> bool:
        """Every choice has a finish reason, and there is one."""
        return self._seen_finish and not self._open_choices

    def take(self, data: bytes, into: list[Delta]) -> None:
        """Read one event."""
        if data == DONE:
            self.done = True
            return
        chunk = self._decode(data)
        if chunk.error is not None:
            raise ErrorEvent
        if chunk.model:
            self.model = chunk.model
        if chunk.usage is not None:
            self.usage = usage(chunk.usage)
        for delta in chunk.deltas():
            if delta.finish_reason is None:
                self._open_choices.add(delta.index)
            elif delta.finish_reason in GIVEN_UP:
                raise ErrorEvent
            else:
                self._open_choices.discard(delta.index)
                self._seen_finish = True
            into.append(delta)


def _reason(status: int, code: str | None, message: str) -> Reason:
    """Why the next backend is tried."""
    if status == 429:
        return Reason.RATE_LIMIT
    if code == "context_length_exceeded" or (status in (400, 413) and _TOO_LONG.search(message)):
        return Reason.CONTEXT_LENGTH
    if code is not None and "content_filter" in code:
        return Reason.CONTENT_FILTER
    return Reason.UPSTREAM_TIMEOUT if status in (408, 504) else Reason.UPSTREAM_ERROR
