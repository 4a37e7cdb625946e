"""The HTTP side: every route, raw ASGI. One task per request does the work while another watches the connection.

GET  /health              200 when the model is loaded and the owner thread lives
GET  /v1/models           the one model, with `max_model_len`
POST /v1/chat/completions
POST /v1/completions
POST /tokenize            what a prompt or a conversation is in tokens, as vLLM says it
GET  /metrics
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import msgspec

from local_models.llama.answers import ChatShape, Collected, Heading, Shape, TextShape
from local_models.llama.asks import Ask
from local_models.llama.connection import DisconnectedError, Receive, Reply, Scope, Send, read_body, while_connected
from local_models.llama.engine import Engine, Inbox
from local_models.llama.errors import RequestError
from local_models.llama.jobs import Began, Broke, Delta
from local_models.llama.metrics import Metrics
from local_models.llama.objects import DONE, event, usage_of
from local_models.llama.wire import Decoders, Request

_INLINE: Final = 4 * 1024
"""Bodies up to this many bytes are prepared on the event loop: tokenising 4 kB takes about a millisecond."""

Made = TypeVar("Made")

_logger = logging.getLogger(__name__)


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
        self._posts = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/tokenize": self._tokenize,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        reply = Reply(send)
        try:
            await self._route(scope, receive, reply)
        except DisconnectedError:
            return
        except RequestError as error:
            await reply.error(error)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            await reply.error(RequestError(500, "generation_failed", "the engine failed on this request"))

    async def _route(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD") and path in self._gets:
            await self._gets[path](reply)
        elif method == "POST" and path in self._posts:
            arrived = time.monotonic()
            body = await read_body(receive)
            await while_connected(receive, self._posts[path](body, arrived, reply))
        elif path in self._gets or path in self._posts:
            raise RequestError(405, "method_not_allowed", f"{method} is not for {path}")
        else:
            raise RequestError(404, "not_found", f"there is no {path} here")

    async def _health(self, reply: Reply) -> None:
        engine = self._engine
        if engine.failure is not None or not engine.worker.alive:
            error = str(engine.failure or "the owner thread has ended")
            await reply.json(503, msgspec.json.encode({"status": "failed", "error": error}))
        elif engine.asks is None:
            await reply.json(503, b'{"status":"loading"}')
        else:
            await reply.json(200, b'{"status":"ok"}')

    async def _models(self, reply: Reply) -> None:
        identity = self._identity
        model = {
            "id": identity.model,
            "object": "model",
            "created": identity.created,
            "owned_by": "forebay",
            "max_model_len": identity.context,
        }
        await reply.json(200, msgspec.json.encode({"object": "list", "data": [model]}))

    async def _metrics_page(self, reply: Reply) -> None:
        text = self._metrics.text(self._engine.worker.snapshot, self._engine.waiting)
        await reply.whole(200, text, b"text/plain; version=0.0.4; charset=utf-8")

    async def _chat(self, body: bytes, arrived: float, reply: Reply) -> None:
        request = self._decoders.chat(body)
        self._check_model(request.model)
        asks = self._engine.open_for_requests()
        quick = _quick(body, request)
        ask = await self._prepared(partial(asks.chat, request, self._engine.number()), quick=quick)
        shape = ChatShape(self._heading("chatcmpl", ask, asks.labels))
        await self._answer(ask, shape, arrived, reply)

    async def _completion(self, body: bytes, arrived: float, reply: Reply) -> None:
        request = self._decoders.completion(body)
        self._check_model(request.model)
        asks = self._engine.open_for_requests()
        quick = _quick(body, request)
        ask = await self._prepared(partial(asks.completion, request, self._engine.number()), quick=quick)
        shape = TextShape(self._heading("cmpl", ask, asks.labels))
        await self._answer(ask, shape, arrived, reply)

    async def _tokenize(self, body: bytes, _arrived: float, reply: Reply) -> None:
        request = self._decoders.tokenize(body)
        self._check_model(request.model)
        make = partial(self._engine.loaded().tokenize, request)
        await reply.json(200, msgspec.json.encode(await self._prepared(make, quick=len(body) <= _INLINE)))

    async def _prepared(self, make: Callable[[], Made], *, quick: bool) -> Made:
        """Make it on the event loop, or on the text thread where that may take long."""
        return make() if quick else await asyncio.get_running_loop().run_in_executor(self._texts, make)

    def _heading(self, prefix: str, ask: Ask, labels: tuple[bytes, ...]) -> Heading:
        return Heading(
            id=f"{prefix}-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=self._identity.model,
            labels=labels,
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

    async def _answer(self, ask: Ask, shape: Shape, arrived: float, reply: Reply) -> None:
        inbox = self._engine.submit(ask.job, arrived)
        try:
            if ask.stream:
                await _stream(ask, shape, inbox, reply)
            else:
                await _whole(ask, shape, inbox, reply)
        finally:
            self._engine.release(ask.job.number)


def _quick(body: bytes, request: Request) -> bool:
    return len(body) <= _INLINE and request.response_format is None


async def _whole(ask: Ask, shape: Shape, inbox: Inbox, reply: Reply) -> None:
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


async def _stream(ask: Ask, shape: Shape, inbox: Inbox, reply: Reply) -> None:
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
