"""What every engine's address has, whatever its engine is for: health, its model, metrics, and how requests are led.

Raw ASGI; one task per request does the work while another watches the connection.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from local_models.llama.connection import DisconnectedError, Receive, Reply, Scope, Send, read_body, while_connected
from local_models.llama.engine import Desk
from local_models.llama.errors import RequestError
from local_models.llama.jobs import Broke
from local_models.llama.metrics import Metrics

INLINE: Final = 4 * 1024
"""Bodies up to this many bytes are prepared on the event loop: tokenising 4 kB takes about a millisecond."""

Made = TypeVar("Made")
Post = Callable[[bytes, float, Reply], Awaitable[None]]
"""Answers a body that arrived at a time of the monotonic clock."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the engine says about itself. `context` is tokens per sequence, `created` Unix seconds."""

    model: str
    context: int
    created: int


class Service:
    """The ASGI application, as far as engines are alike."""

    def __init__(self, desk: Desk[object], metrics: Metrics, identity: Identity, texts: Executor) -> None:
        """`texts` is one thread with a large stack, for what takes long to prepare."""
        self._desk = desk
        self._metrics = metrics
        self._identity = identity
        self._texts = texts
        self._gets = {"/health": self._health, "/v1/models": self._models, "/metrics": self._metrics_page}
        self._posts: Mapping[str, Post] = {}
        """What is answered, by path; for each kind of engine to fill."""
        self._elsewhere: Mapping[str, str] = {}
        """Paths that only an engine of another kind has, and what to say of them."""

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the engine can do, in the gateway's words; for each kind of engine to say, once its model is loaded."""
        return ()

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
        elif path in self._elsewhere:
            raise RequestError(400, "unsupported", self._elsewhere[path])
        else:
            raise RequestError(404, "not_found", f"there is no {path} here")

    async def _health(self, reply: Reply) -> None:
        desk = self._desk
        if desk.failure is not None or not desk.worker.alive:
            error = str(desk.failure or "the owner thread has ended")
            await reply.json(503, msgspec.json.encode({"status": "failed", "error": error}))
        elif desk.asks is None:
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
            "capabilities": self.capabilities,
        }
        await reply.json(200, msgspec.json.encode({"object": "list", "data": [model]}))

    async def _metrics_page(self, reply: Reply) -> None:
        text = self._metrics.text(self._desk.worker.snapshot, self._desk.waiting)
        await reply.whole(200, text, b"text/plain; version=0.0.4; charset=utf-8")

    async def _prepared(self, make: Callable[[], Made], *, quick: bool) -> Made:
        """Make it on the event loop, or on the text thread where that may take long."""
        return make() if quick else await asyncio.get_running_loop().run_in_executor(self._texts, make)

    def _check_model(self, asked: str | None) -> None:
        """Return when the model asked for is the one served. Raises RequestError 404."""
        if asked is not None and asked != self._identity.model:
            raise RequestError(
                404,
                "model_not_found",
                f"the model {asked[:200]!r} does not exist here; this engine serves {self._identity.model!r}",
                param="model",
            )


def broken(happened: Broke) -> RequestError:
    """What a client is told of a job that broke."""
    if happened.code == "generation_failed":
        return RequestError(500, happened.code, happened.message)
    return RequestError(503, happened.code, happened.message, retry_after=1)
