"""A backend that costs next to nothing: fixed answers with log-probabilities, for `overhead`.

usage: python overhead_upstream.py PORT TOKENS
Speaks as much of the engine contract as an attached engine needs, as a bare ASGI application under uvicorn.
"""

import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MODEL = "bench"


def _logprob(token: str) -> dict[str, Any]:
    best = {"token": token, "logprob": -0.05, "bytes": list(token.encode())}
    return {**best, "top_logprobs": [best]}


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 24, "completion_tokens": tokens, "total_tokens": tokens + 24}


def _whole(tokens: int, *, logprobs: bool) -> bytes:
    words = [f"word{index} " for index in range(tokens)]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(words)},
        "finish_reason": "stop",
        "logprobs": {"content": [_logprob(word) for word in words]} if logprobs else None,
    }
    return json.dumps({"id": "x", "model": MODEL, "choices": [choice], "usage": _usage(tokens)}).encode()


def _events(tokens: int, *, logprobs: bool) -> list[bytes]:
    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices, **more}
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    def piece(index: int) -> bytes:
        word = f"word{index} "
        found = {"content": [_logprob(word)]} if logprobs else None
        return event([{"index": 0, "delta": {"content": word}, "logprobs": found, "finish_reason": None}])

    return [
        event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
        *(piece(index) for index in range(tokens)),
        event([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        event([], usage=_usage(tokens)),
        b"data: [DONE]\n\n",
    ]


class Upstream:
    """The application; every answer is made once, at the start."""

    def __init__(self, unary_tokens: int, stream_tokens: int) -> None:
        self._whole = {asked: _whole(unary_tokens, logprobs=asked) for asked in (False, True)}
        self._events = {asked: _events(stream_tokens, logprobs=asked) for asked in (False, True)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] != "/v1/chat/completions":
            found = {
                "status": "ok",
                "object": "list",
                "data": [{"id": MODEL, "object": "model", "max_model_len": 32768}],
            }
            await _respond(send, json.dumps(found).encode())
            return
        asked = json.loads(body)
        logprobs = bool(asked.get("logprobs"))
        if not asked.get("stream"):
            await _respond(send, self._whole[logprobs])
            return
        await _start(send, (b"content-type", b"text/event-stream"))
        # One event, one write, as an engine that decodes token by token sends them.
        for event in self._events[logprobs]:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _start(send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _respond(send: Send, body: bytes) -> None:
    await _start(send, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        Upstream(20, int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off"
    )
