"""The HTTP side: every route, raw ASGI. One task per request does the work while another watches the connection.

GET  /health              200 when the model is loaded and the owner thread lives
GET  /v1/models           the one model, with `max_model_len` and, once it is loaded, what it can do (`capabilities`)
POST /v1/chat/completions
POST /v1/completions
POST /tokenize            what a prompt or a conversation is in tokens, as vLLM says it
GET  /metrics
"""

import time
import uuid
from concurrent.futures import Executor
from functools import partial

import msgspec

from local_models.llama.answers import ChatShape, Collected, Heading, Shape, TextShape
from local_models.llama.asks import Ask
from local_models.llama.connection import Reply
from local_models.llama.engine import Engine, Inbox
from local_models.llama.jobs import Began, Broke, Delta
from local_models.llama.metrics import Metrics
from local_models.llama.objects import DONE, event, usage_of
from local_models.llama.service import INLINE, Identity, Service, broken
from local_models.llama.wire import ChatRequest, Decoders, Request


class App(Service):
    """The ASGI application of an engine that generates."""

    def __init__(self, engine: Engine, metrics: Metrics, identity: Identity, texts: Executor) -> None:
        """`texts` is one thread with a large stack, for prompts and schemas that take long to prepare."""
        super().__init__(engine, metrics, identity, texts)
        self._engine = engine
        self._decoders = Decoders()
        self._posts = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/tokenize": self._tokenize,
        }
        self._elsewhere = {
            "/v1/embeddings": "this engine generates text; vectors are given by an engine with runner: pooling"
        }

    @property
    def capabilities(self) -> tuple[str, ...]:
        """See `Service`."""
        asks = self._engine.asks
        return () if asks is None else asks.capabilities

    async def _chat(self, body: bytes, arrived: float, reply: Reply) -> None:
        request = self._decoders.chat(body)
        self._check_model(request.model)
        asks = self._engine.open_for_requests()
        quick = _quick(body, request)
        ask = await self._prepared(partial(asks.chat, request, self._engine.number()), quick=quick)
        shape = ChatShape(self._heading("chatcmpl", ask, asks.labels), ask.notation)
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
        await reply.json(200, msgspec.json.encode(await self._prepared(make, quick=len(body) <= INLINE)))

    def _heading(self, prefix: str, ask: Ask, labels: tuple[bytes, ...]) -> Heading:
        return Heading(
            id=f"{prefix}-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=self._identity.model,
            labels=labels,
            logprobs=ask.job.top_logprobs is not None,
            stream_usage=ask.include_usage,
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
    if isinstance(request, ChatRequest) and request.tools:
        return False
    return len(body) <= INLINE and request.response_format is None


async def _whole(ask: Ask, shape: Shape, inbox: Inbox, reply: Reply) -> None:
    choices = [Collected() for _ in range(ask.job.choices)]
    pending = ask.job.choices
    while pending:
        for happened in await inbox.take():
            if isinstance(happened, Broke):
                raise broken(happened)
            if isinstance(happened, Delta):
                choices[happened.choice].add(happened)
                pending -= happened.finish is not None
    cached = max(choice.cached for choice in choices)
    usage = usage_of(ask.job.prompt.size, sum(choice.generated for choice in choices), cached)
    await reply.json(200, shape.whole(choices, usage))


async def _stream(ask: Ask, shape: Shape, inbox: Inbox, reply: Reply) -> None:
    chunks = _Chunks(ask, shape)
    while chunks.pending:
        out = bytearray()
        for happened in await inbox.take():
            if isinstance(happened, Broke):
                await reply.events(bytes(out))
                raise broken(happened)
            if isinstance(happened, (Began, Delta)):
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
        self._cached = 0

    def render(self, happened: Began | Delta) -> bytes:
        """What to send for one event; nothing while a token's text is held back."""
        if isinstance(happened, Began):
            openings = (self._shape.opening(choice) for choice in range(self._ask.job.choices))
            return b"".join(event(opening) for opening in openings if opening is not None)
        if not (happened.text or happened.tokens or happened.finish):
            return b""
        said = self._shape.chunk(happened)
        chunk = b"" if said is None else event(said)
        if happened.finish is None:
            return chunk
        self.pending -= 1
        self._generated += happened.generated
        self._cached = max(self._cached, happened.cached)
        return chunk if self.pending else chunk + self._closing()

    def _closing(self) -> bytes:
        if not self._ask.include_usage:
            return DONE
        return event(self._shape.usage(usage_of(self._ask.job.prompt.size, self._generated, self._cached))) + DONE
