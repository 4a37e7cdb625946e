"""The HTTP side: every route, raw ASGI. One task per request does the work while another watches the connection.

GET  /health              200 when the model is loaded and the owner thread lives
GET  /v1/models           the one model, with `max_model_len`
POST /v1/chat/completions
POST /v1/completions
GET  /metrics
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from local_models.llama.answers import (
    DONE,
    ChatShape,
    Collected,
    Heading,
    Shape,
    TextShape,
    error_json,
    event,
    usage_of,
)
from local_models.llama.asks import Ask
from local_models.llama.engine import Engine, Inbox
from local_models.llama.errors import RequestError
from local_models.llama.jobs import Began, Broke, Delta
from local_models.llama.metrics import Metrics
from local_models.llama.wire import Decoders, Request

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of a request body."""
_INLINE: Final = 4 * 1024
"""Bodies up to this many bytes are prepared on the event loop: tokenising 4 kB takes about a millisecond."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_logger = logging.getLogger(__name__)


class _DisconnectedError(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the engine says about itself. `context` is tokens per sequence, `created` Unix seconds."""

    model: str
    context: int
    created: int


class App:
    """The ASGI application."""

    def __init__(self, engine: Engine, metrics: Metrics, identity: Identity, texts: Executor) -> None:
        """`texts` is one thread with a large stack, for prompts and schemas that take long to prepare."""
        self._engine = engine
        self._metrics = metrics
        self._identity = identity
        self._texts = texts
        self._decoders = Decoders()
        self._gets = {"/health": self._health, "/v1/models": self._models, "/metrics": self._metrics_page}
        self._posts = {"/v1/chat/completions": self._chat, "/v1/completions": self._completion}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        reply = _Reply(send)
        try:
            await self._route(scope, receive, reply)
        except _DisconnectedError:
            return
        except RequestError as error:
            await reply.error(error)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            await reply.error(RequestError(500, "generation_failed", "the engine failed on this request"))

    async def _route(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD") and path in self._gets:
            await self._gets[path](reply)
        elif method == "POST" and path in self._posts:
            arrived = time.monotonic()
            body = await _read(receive)
            await _while_connected(receive, self._posts[path](body, arrived, reply))
        elif path in self._gets or path in self._posts:
            raise RequestError(405, "method_not_allowed", f"{method} is not for {path}")
        else:
            raise RequestError(404, "not_found", f"there is no {path} here")

    async def _health(self, reply: "_Reply") -> None:
        engine = self._engine
        if engine.failure is not None or not engine.worker.alive:
            error = str(engine.failure or "the owner thread has ended")
            await reply.json(503, msgspec.json.encode({"status": "failed", "error": error}))
        elif engine.asks is None:
            await reply.json(503, b'{"status":"loading"}')
        else:
            await reply.json(200, b'{"status":"ok"}')

    async def _models(self, reply: "_Reply") -> None:
        identity = self._identity
        model = {
            "id": identity.model,
            "object": "model",
            "created": identity.created,
            "owned_by": "forebay",
            "max_model_len": identity.context,
        }
        await reply.json(200, msgspec.json.encode({"object": "list", "data": [model]}))

    async def _metrics_page(self, reply: "_Reply") -> None:
        text = self._metrics.text(self._engine.worker.snapshot, self._engine.waiting)
        await reply.whole(200, text, b"text/plain; version=0.0.4; charset=utf-8")

    async def _chat(self, body: bytes, arrived: float, reply: "_Reply") -> None:
        request = self._decoders.chat(body)
        self._check_model(request.model)
        asks = self._engine.ready()
        ask = await self._prepare(request, len(body), partial(asks.chat, request, self._engine.number()))
        shape = ChatShape(self._heading("chatcmpl", ask))
        await self._answer(ask, shape, arrived, reply)

    async def _completion(self, body: bytes, arrived: float, reply: "_Reply") -> None:
        request = self._decoders.completion(body)
        self._check_model(request.model)
        asks = self._engine.ready()
        ask = await self._prepare(request, len(body), partial(asks.completion, request, self._engine.number()))
        shape = TextShape(self._heading("cmpl", ask))
        await self._answer(ask, shape, arrived, reply)

    async def _prepare(self, request: Request, size: int, make: Callable[[], Ask]) -> Ask:
        """Make the job on the event loop, or on the text thread when that may take long."""
        if size <= _INLINE and request.response_format is None:
            return make()
        return await asyncio.get_running_loop().run_in_executor(self._texts, make)

    def _heading(self, prefix: str, ask: Ask) -> Heading:
        return Heading(
            id=f"{prefix}-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=self._identity.model,
            labels=self._engine.ready().labels,
            logprobs=ask.job.top_logprobs is not None,
            stream_usage=ask.include_usage,
        )

    def _check_model(self, asked: str | None) -> None:
        if asked is not None and asked != self._identity.model:
            raise RequestError(
                404,
                "model_not_found",
                f"the model {asked[:200]!r} does not exist here; this engine serves {self._identity.model!r}",
                param="model",
            )

    async def _answer(self, ask: Ask, shape: Shape, arrived: float, reply: "_Reply") -> None:
        inbox = self._engine.submit(ask.job, arrived)
        try:
            if ask.stream:
                await _stream(ask, shape, inbox, reply)
            else:
                await _whole(ask, shape, inbox, reply)
        finally:
            self._engine.release(ask.job.number)


async def _whole(ask: Ask, shape: Shape, inbox: Inbox, reply: "_Reply") -> None:
    choices = [Collected() for _ in range(ask.job.choices)]
    pending = ask.job.choices
    while pending:
        for happened in await inbox.take():
            if isinstance(happened, Broke):
                raise _broken(happened)
            if isinstance(happened, Delta):
                choices[happened.choice].add(happened)
                pending -= happened.finish is not None
    usage = usage_of(ask.job.prompt.size, sum(choice.generated for choice in choices))
    await reply.json(200, shape.whole(choices, usage))


async def _stream(ask: Ask, shape: Shape, inbox: Inbox, reply: "_Reply") -> None:
    chunks = _Chunks(ask, shape)
    while chunks.pending:
        out = bytearray()
        for happened in await inbox.take():
            if isinstance(happened, Broke):
                await reply.events(bytes(out))
                raise _broken(happened)
            out += chunks.render(happened)
        await reply.events(bytes(out), more=chunks.pending > 0)


class _Chunks:
    """The events of one stream, in the order in which they are sent."""

    def __init__(self, ask: Ask, shape: Shape) -> None:
        self.pending = ask.job.choices
        """Choices that are not finished."""
        self._ask = ask
        self._shape = shape
        self._generated = 0

    def render(self, happened: Began | Delta) -> bytes:
        """What to send for one event; nothing while a token's text is held back."""
        if isinstance(happened, Began):
            openings = (self._shape.opening(choice) for choice in range(self._ask.job.choices))
            return b"".join(event(opening) for opening in openings if opening is not None)
        if not (happened.text or happened.tokens or happened.finish):
            return b""
        chunk = event(self._shape.chunk(happened))
        if happened.finish is None:
            return chunk
        self.pending -= 1
        self._generated += happened.generated
        return chunk if self.pending else chunk + self._closing()

    def _closing(self) -> bytes:
        if not self._ask.include_usage:
            return DONE
        return event(self._shape.usage(usage_of(self._ask.job.prompt.size, self._generated))) + DONE


def _broken(happened: Broke) -> RequestError:
    if happened.code == "generation_failed":
        return RequestError(500, happened.code, happened.message)
    return RequestError(503, happened.code, happened.message, retry_after=1)


async def _read(receive: Receive) -> bytes:
    """The whole body. Raises RequestError (413) as soon as it is known to be too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            raise RequestError(413, "body_too_large", f"the body is over the limit of {MAX_BODY:,} bytes", param="body")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _while_connected(receive: Receive, work: Awaitable[None]) -> None:
    """Await `work`, and cancel it as soon as the client closes the connection.

    Nothing else says so: uvicorn's `send` accepts whatever is sent to a client that has gone.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task_done = task.done()
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
    if task_done:
        task.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Reply:
    """The response to one request: whole, or events that may still end in an error."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False

    async def json(self, status: int, body: bytes) -> None:
        """A whole JSON response."""
        await self.whole(status, body, b"application/json")

    async def whole(self, status: int, body: bytes, kind: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """A whole response."""
        self._started = True
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *extra]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def events(self, body: bytes, *, more: bool = True) -> None:
        """Some server-sent events; the first ones begin the response."""
        if not body:
            return
        if not self._started:
            self._started = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def error(self, error: RequestError) -> None:
        """An error response or, once events have been sent, an error event that ends the stream without `[DONE]`."""
        if self._started:
            await self.events(event(error_json(error)), more=False)
            return
        extra = ((b"retry-after", str(error.retry_after).encode()),) if error.retry_after is not None else ()
        await self.whole(error.status, error_json(error), b"application/json", extra)
