"""An engine without a model that keeps the engine contract: /health, /v1/models, one-token chats, /metrics; or, for
`--vectors`, embeddings instead of chats.

What a healthy engine never does is switched by arguments, or while it runs by POST /fake/health?mode=… : ok, sick,
hang, stuck (requests are running and nothing comes of them), stale (the same is said, until somebody asks) or deaf
(nothing is running, and nothing comes of what is asked).
"""

import argparse
import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from types import FrameType
from typing import Any

import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METRICS = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="{name}"}} {running}
vllm:num_requests_waiting{{model_name="{name}"}} 0
vllm:kv_cache_usage_perc{{model_name="{name}"}} 0.25
vllm:generation_tokens_total{{model_name="{name}"}} {tokens}
"""


class FakeEngine:
    """An ASGI application."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._health = "sick" if options.sick else "ok"
        self._tokens = 0
        self._loaded = options.slow_start == 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; start what the arguments ask for when the server is up."""
        if scope["type"] == "lifespan":
            await receive()
            self._background = asyncio.create_task(self._misbehave())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        status, body = await self._answer(scope, receive)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def _misbehave(self) -> None:
        if self._options.slow_start:
            await asyncio.sleep(self._options.slow_start)
            self._loaded = True
        if self._options.exit_after is not None:
            await asyncio.sleep(self._options.exit_after)
            os._exit(self._options.exit_code)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        match scope["path"]:
            case "/health":
                return await self._say_health()
            case "/fake/health":
                query = urllib.parse.parse_qs(scope["query_string"].decode())
                self._health = query["mode"][0]
                return 200, b"{}"
            case "/v1/models":
                return 200, json.dumps({"object": "list", "data": [{"id": self._options.name}]}).encode()
            case "/v1/chat/completions" | "/v1/completions" if self._options.vectors is None:
                return await self._chat(receive)
            case "/v1/embeddings" if self._options.vectors is not None:
                return 200, json.dumps({"data": [{"embedding": json.loads(self._options.vectors)}]}).encode()
            case "/metrics":
                running = int(self._health in ("stuck", "stale"))
                return 200, METRICS.format(name=self._options.name, running=running, tokens=self._tokens).encode()
            case _:
                return 404, b"{}"

    async def _say_health(self) -> tuple[int, bytes]:
        if not self._loaded:
            return 503, b'{"status":"loading"}'
        if self._health == "hang":
            await asyncio.Event().wait()
        if self._health == "sick":
            return 503, b'{"status":"failed","error":"the decode thread has ended"}'
        return 200, b'{"status":"ok"}'

    async def _chat(self, receive: Receive) -> tuple[int, bytes]:
        asked = json.loads((await receive())["body"])
        if self._options.bad_canary:
            return 500, b'{"error":{"message":"no"}}'
        if self._health in ("stuck", "deaf"):
            await asyncio.Event().wait()
        if self._health == "stale":
            self._health = "ok"
        self._tokens += asked["max_tokens"]
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "length"}
        usage = {"prompt_tokens": 3, "completion_tokens": asked["max_tokens"], "total_tokens": 4}
        return 200, json.dumps({"model": asked["model"], "choices": [choice], "usage": usage}).encode()


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--slow-start", type=float, default=0.0, help="seconds of loading")
    parser.add_argument("--sick", action="store_true", help="health is 503 from the start")
    parser.add_argument("--bad-canary", action="store_true", help="chats fail")
    parser.add_argument("--vectors", help="gives no text but this vector, as JSON")
    parser.add_argument("--exit-after", type=float, help="seconds until it ends by itself")
    parser.add_argument("--exit-code", type=int, default=0)
    parser.add_argument("--exit-at-once", type=int, help="end with this code before anything else")
    parser.add_argument("--say", help="a line for stderr at the start")
    parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--grandchild", action="store_true", help="start a process that ignores SIGTERM")
    parser.add_argument("--outlives-parent", action="store_true", help="no parent-death signal")
    return parser.parse_args(words)


class DeafServer(uvicorn.Server):
    """Does not stop when asked to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Go on."""


def main() -> None:
    """Run until told to stop."""
    said = options()
    if not said.outlives_parent:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if said.say:
        sys.stderr.write(said.say + "\n")
    if said.exit_at_once is not None:
        sys.exit(said.exit_at_once)
    if said.grandchild:
        program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        subprocess.Popen((sys.executable, "-c", program))
    config = uvicorn.Config(FakeEngine(said), fd=said.fd, log_level="warning", lifespan="on")
    server = DeafServer(config) if said.deaf else uvicorn.Server(config)
    server.run()


if __name__ == "__main__":
    main()
