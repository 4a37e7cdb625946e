"""The request path, from body bytes to answer bytes, in whichever API the caller speaks."""

import asyncio
import logging
from abc import ABC, abstractmethod

from msgspec import Struct

from gateway.broker import Broker
from gateway.committed import CommittedAnswer
from gateway.deadline import Alarms
from gateway.errors import AnswerError, ClientGone, Code, RequestError, cut_short
from gateway.messages import ChatRequest, Delta
from gateway.policy import Identities
from gateway.server.dialect import AnswerWriter, Dialect, ErrorDialect
from gateway.server.disclosure import commit_headers, final_headers, forebay_object
from gateway.server.drain import Drain
from gateway.server.http import (
    JSON,
    SSE,
    Hangup,
    Header,
    Headers,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
    respond_error,
)
from gateway.types import Identity

_log = logging.getLogger("forebay.server")


class Door(Struct, frozen=True):
    """What every route of the request path shares: who may enter, and how much of a body is taken in."""

    identities: Identities
    drain: Drain
    max_body_bytes: int
    body_timeout_s: float
    alarms: Alarms

    def identify(self, scope: Scope, headers: Headers) -> Identity:
        """Who asks. Raises RequestError."""
        if scope["method"] != "POST":
            raise RequestError("use POST", code=Code.METHOD_NOT_ALLOWED, status=405)
        return self.identities.find(headers.api_key())

    async def body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body. Raises RequestError or ClientGone."""
        return await read_body(headers, receive, self.max_body_bytes, self.body_timeout_s, self.alarms)

    def watching(self, receive: Receive) -> Hangup:
        """Around what is done for a caller who may hang up meanwhile."""
        return Hangup(receive, self.alarms)


class Endpoint(ABC):
    """A route of the request path. Whoever derives from it says what becomes of a body, in `_respond`."""

    def __init__(self, dialect: ErrorDialect, door: Door) -> None:
        self._errors = dialect
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Nothing escapes: what is not expected is a 500 in the shape of the API."""
        headers = Headers(scope["headers"])
        response = Response(send, self._errors, headers.request_id())
        try:
            with self._door.drain.entered():
                identity = self._door.identify(scope, headers)
                raw = await self._door.body(headers, receive)
                await self._respond(Asked(raw, headers.hints, identity, receive), response)
        except ClientGone:
            return
        except AnswerError as error:
            await response.fail(error)
        except Exception:  # noqa: BLE001 - the edge of the process: it is logged, and the caller gets a 500
            await response.fail_unexpectedly()

    @abstractmethod
    async def _respond(self, asked: "Asked", response: "Response") -> None:
        """Answer a body. Raises AnswerError."""


class Asked(Struct, frozen=True):
    """What came in at a route: the body, the x-forebay-* headers, who asks, and where a hangup would be told."""

    raw: bytes
    hints: dict[str, str]
    identity: Identity
    receive: Receive


class AnswerEndpoint(Endpoint):
    """Answers requests of one dialect."""

    def __init__(self, dialect: Dialect, broker: Broker, door: Door) -> None:
        super().__init__(dialect, door)
        self._dialect = dialect
        self._broker = broker

    async def _respond(self, asked: Asked, response: "Response") -> None:
        request = self._dialect.parse(asked.raw, asked.hints, response.request_id)
        with self._door.watching(asked.receive):
            await self._answer(request, asked.identity, response)

    async def _answer(self, request: ChatRequest, identity: Identity, response: "Response") -> None:
        if request.stream:
            committed = await self._broker.stream(request, identity)
            try:
                await self._stream(request, committed, response)
            except asyncio.CancelledError as cancelled:
                committed.close(cut_short(cancelled))
                raise
            finally:
                committed.close()
            return
        completion, outcome = await self._broker.answer(request, identity)
        model = completion.model or (outcome.answer and outcome.answer.response_model) or ""
        usage = completion.usage if outcome.answer is None else outcome.answer.usage
        body = self._dialect.writer(request, model).whole(completion, usage, forebay_object(outcome))
        await response.whole(final_headers(outcome), body)

    async def _stream(self, request: ChatRequest, committed: CommittedAnswer, response: "Response") -> None:
        """Send the pieces of an answer; several that arrived together leave together."""
        deltas = await committed.batch()
        writer = self._dialect.writer(request, committed.model)
        await response.begin(commit_headers(committed.run, committed.attempt))
        pending = writer.opening(committed.usage)
        while deltas:
            await response.more(pending + _pieces(writer, deltas))
            pending = b""
            deltas = await committed.batch()
        outcome = committed.outcome
        assert outcome is not None
        await response.end(pending + writer.ending(committed.finish, committed.usage, forebay_object(outcome)))


class Response:
    """One response. It knows whether a stream has begun, and so how an error can still be told."""

    def __init__(self, send: Send, dialect: ErrorDialect, request_id: str) -> None:
        self.request_id = request_id
        self._send = send
        self._dialect = dialect
        self._streaming = False

    async def whole(self, headers: list[Header], body: bytes) -> None:
        """A JSON body with status 200."""
        await respond(self._send, 200, [JSON, *headers, *self._also()], body)

    async def begin(self, headers: list[Header]) -> None:
        """The head of a stream."""
        all_headers = [*SSE, *headers, *self._also()]
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})
        self._streaming = True

    async def more(self, body: bytes) -> None:
        """A part of a stream."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes) -> None:
        """The last part of a stream."""
        await self._send({"type": "http.response.body", "body": body})

    async def fail(self, error: AnswerError) -> None:
        """A JSON body, or the event that ends a broken stream."""
        if self._streaming:
            await self.end(self._dialect.error_event(error, self.request_id))
            return
        headers = [(b"x-request-id", self.request_id.encode("latin-1")), *self._also()]
        body = self._dialect.error_body(error, self.request_id)
        await respond_error(self._send, self._dialect.status(error), body, headers, error.retry_after)

    async def fail_unexpectedly(self) -> None:
        """A 500 for what nobody thought of; called while it is being handled, so that the log has it."""
        _log.exception("request %s failed unexpectedly", self.request_id)
        await self.fail(AnswerError("something went wrong here", code=Code.INTERNAL_ERROR, status=500))

    def _also(self) -> list[Header]:
        name = self._dialect.request_id_header
        return [] if name is None else [(name.encode(), self.request_id.encode("latin-1"))]


def _pieces(writer: AnswerWriter, deltas: list[Delta]) -> bytes:
    if len(deltas) == 1:
        return writer.piece(deltas[0])
    return b"".join(writer.piece(delta) for delta in deltas)
