"""POST /v1/chat/completions: the request path, from body bytes to answer bytes."""

import asyncio
import logging

from gateway.broker import Broker
from gateway.committed import CommittedAnswer
from gateway.errors import AnswerError, ClientGone, Code, RequestError, cut_short
from gateway.messages import ChatRequest, Delta
from gateway.policy import Identities
from gateway.server.disclosure import commit_headers, final_headers, forebay_object
from gateway.server.drain import Drain
from gateway.server.http import (
    JSON,
    SSE,
    Hangup,
    Headers,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
    respond_error,
)
from gateway.types import Identity
from gateway.wire.openai_answer import AnswerEncoder, error_event
from gateway.wire.openai_request import parse_chat

_log = logging.getLogger("forebay.server")


class ChatEndpoint:
    """Answers chat requests. `max_body_bytes` and `body_timeout_s` bound what is taken in."""

    def __init__(
        self, broker: Broker, identities: Identities, drain: Drain, max_body_bytes: int, body_timeout_s: float
    ) -> None:
        self._broker = broker
        self._identities = identities
        self._drain = drain
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Nothing escapes: what is not expected is a 500 in OpenAI's shape."""
        headers = Headers(scope["headers"])
        request_id = headers.request_id()
        response = _Response(send)
        try:
            with self._drain.entered():
                identity = self._identify(scope, headers)
                raw = await read_body(headers, receive, self._max_body_bytes, self._body_timeout_s)
                request = parse_chat(raw, headers.hints, request_id)
                async with Hangup(receive):
                    await self._answer(request, identity, response)
        except ClientGone:
            return
        except AnswerError as error:
            await response.fail(error, request_id)
        except Exception:  # noqa: BLE001 - the edge of the process: it is logged, and the caller gets a 500
            _log.exception("request %s failed unexpectedly", request_id)
            unexpected = AnswerError("something went wrong here", code=Code.INTERNAL_ERROR, status=500)
            await response.fail(unexpected, request_id)

    def _identify(self, scope: Scope, headers: Headers) -> Identity:
        if scope["method"] != "POST":
            raise RequestError("use POST", code=Code.METHOD_NOT_ALLOWED, status=405)
        return self._identities.find(headers.api_key())

    async def _answer(self, request: ChatRequest, identity: Identity, response: "_Response") -> None:
        if request.stream:
            committed = await self._broker.stream(request, identity)
            try:
                await _stream(request, committed, response)
            except asyncio.CancelledError as cancelled:
                committed.close(cut_short(cancelled))
                raise
            finally:
                committed.close()
            return
        completion, outcome = await self._broker.answer(request, identity)
        encoder = _encoder(request, completion.model or (outcome.answer and outcome.answer.response_model) or "")
        usage = completion.usage if outcome.answer is None else outcome.answer.usage
        body = encoder.whole(completion, usage, forebay_object(outcome))
        await respond(response.send, 200, [JSON, *final_headers(outcome)], body)


class _Response:
    """Knows whether a stream has begun, and so how an error can still be told."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.streaming = False

    async def fail(self, error: AnswerError, request_id: str) -> None:
        """A JSON body, or the event that ends a broken stream without [DONE]."""
        if self.streaming:
            await self.send({"type": "http.response.body", "body": error_event(error)})
        else:
            await respond_error(self.send, error, request_id)


async def _stream(request: ChatRequest, committed: CommittedAnswer, response: _Response) -> None:
    """Send the pieces of an answer; several that arrived together leave together."""
    deltas = await committed.batch()
    encoder = _encoder(request, committed.model)
    send = response.send
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*SSE, *commit_headers(committed.run, committed.attempt)],
        }
    )
    response.streaming = True
    pending = encoder.opening(request.sampling.n)
    while deltas:
        await send({"type": "http.response.body", "body": pending + _pieces(encoder, deltas), "more_body": True})
        pending = b""
        deltas = await committed.batch()
    await send({"type": "http.response.body", "body": pending + _ending(request, committed, encoder)})


def _pieces(encoder: AnswerEncoder, deltas: list[Delta]) -> bytes:
    if len(deltas) == 1:
        return encoder.piece(deltas[0])
    return b"".join(encoder.piece(delta) for delta in deltas)


def _ending(request: ChatRequest, committed: CommittedAnswer, encoder: AnswerEncoder) -> bytes:
    """Finish reasons, the last of them with what happened, usage if asked for, and [DONE]."""
    outcome = committed.outcome
    assert outcome is not None
    *others, last = committed.finish
    events = [encoder.piece(delta) for delta in others]
    events.append(encoder.finish(last, forebay_object(outcome)))
    if request.include_usage:
        events.append(encoder.usage(committed.usage))
    events.append(encoder.done())
    return b"".join(events)


def _encoder(request: ChatRequest, model: str) -> AnswerEncoder:
    return AnswerEncoder(request.id, request.created, model, request.top_logprobs if request.logprobs else None)
