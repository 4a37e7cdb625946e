"""Clients of an engine: asks for streams and notes when every token arrives. A process of its own.

usage: python engine_load.py PORT  (a plan on standard input)
The plan is JSON: `clients`, a list of request bodies each, asked one after the other; and perhaps `before`, a number of
tokens, with which the clients begin their lists anew until each has so many, and `intruder`, a body that is asked then.
Who asks still is cut off as soon as the intruder has its answer, or, without one, every client its tokens. Prints JSON:
for every request its client (-1 is the intruder), when it was sent, when its tokens arrived, and how many tokens prompt
and answer have.
An answer other than 200, an error event, and a stream that does not end in [DONE] end it with an error.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import uvloop

_DATA, _DONE = b"data: ", b"[DONE]"
INTRUDER = -1


class WrongAnswerError(Exception):
    """An answer is not what it should be."""


class Answer(msgspec.Struct):
    """A request and what came of it. Times are seconds of one clock; an event of two tokens arrives once."""

    client: int
    sent: float
    arrivals: list[float] = []
    tokens: int = 0
    prompt_tokens: int | None = None
    whole: bool = False


class Load:
    """All clients of one server."""

    def __init__(self, session: aiohttp.ClientSession, url: str, before: int) -> None:
        self.answers: list[Answer] = []
        self._session = session
        self._url = url
        self._before = before
        self._tokens: Counter[int] = Counter()
        """Of each client, in all its answers."""
        self._slow: set[int] = set()
        """Clients that do not have so many tokens yet."""
        self._under_way = asyncio.Event()

    async def ask_all(self, clients: list[list[Any]]) -> None:
        """Every client asks its list once."""
        async with asyncio.TaskGroup() as group:
            for number, bodies in enumerate(clients):
                group.create_task(self._in_turn(number, bodies))

    async def stream(self, clients: list[list[Any]], intruder: Any | None) -> None:
        """Have the clients ask until all have their tokens, and the intruder, who comes among them then, its answer."""
        self._slow = set(range(len(clients)))
        streams = [asyncio.create_task(self._forever(number, bodies)) for number, bodies in enumerate(clients)]
        arriving = asyncio.create_task(self._intrude(intruder))
        try:
            await asyncio.wait([arriving, *streams], return_when=asyncio.FIRST_COMPLETED)
            for task in (*streams, arriving):
                if task.done():
                    task.result()  # only the intruder ends otherwise than by an error
        finally:
            for task in (*streams, arriving):
                task.cancel()
            await asyncio.gather(*streams, arriving, return_exceptions=True)

    async def _in_turn(self, client: int, bodies: list[Any]) -> None:
        for body in bodies:
            await self._ask(client, body)

    async def _forever(self, client: int, bodies: list[Any]) -> None:
        while True:
            await self._in_turn(client, bodies)

    async def _intrude(self, body: Any | None) -> None:
        await self._under_way.wait()
        if body is not None:
            await self._ask(INTRUDER, body)

    async def _ask(self, client: int, body: Any) -> None:
        answer = Answer(client, time.perf_counter())
        self.answers.append(answer)
        async with self._session.post(self._url, json=body) as response:
            if response.status != 200:
                raise WrongAnswerError(f"status {response.status}: {(await response.text())[:1000]}")
            async for data in stream_events(response):
                if data == _DONE:
                    answer.whole = True
                else:
                    self._note(answer, data)
        if not answer.whole:
            raise WrongAnswerError("a stream without its end")

    def _note(self, answer: Answer, data: bytes) -> None:
        now = time.perf_counter()
        event = msgspec.json.decode(data)
        if "error" in event:
            raise WrongAnswerError(f"an error: {event['error']}")
        for choice in event.get("choices", ()):
            scored = (choice.get("logprobs") or {}).get("content") or ()
            if scored or choice.get("delta", {}).get("content"):
                answer.arrivals.append(now)
                answer.tokens += max(1, len(scored))
                self._tokens[answer.client] += 1
        usage = event.get("usage")
        if usage:
            answer.tokens, answer.prompt_tokens = usage["completion_tokens"], usage["prompt_tokens"]
        if self._tokens[answer.client] >= self._before:
            self._slow.discard(answer.client)
            if not self._slow:
                self._under_way.set()


async def stream_events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """What stands behind `data: `, event by event, as soon as it is here."""
    rest = b""
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(_DATA):
                yield line.removeprefix(_DATA).strip()


async def _main() -> None:
    plan = json.load(sys.stdin)
    url = f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions"
    timeout = aiohttp.ClientTimeout(total=None, sock_read=600)
    # llama-server closes a connection on which it has streamed, and a request sent meanwhile would be lost.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
        load = Load(session, url, plan.get("before", 0))
        if "before" in plan:
            await load.stream(plan["clients"], plan.get("intruder"))
        else:
            await load.ask_all(plan["clients"])
    sys.stdout.buffer.write(msgspec.json.encode(load.answers))


if __name__ == "__main__":
    uvloop.run(_main())
