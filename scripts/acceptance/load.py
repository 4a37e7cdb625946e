"""Clients of the gateway, and what came of each request. Open: at a rate, whatever the answers do. Closed: as many at a
time as there are clients.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

import aiohttp
import msgspec

from scripts.benchmarks.engine_figures import percentile
from scripts.benchmarks.engine_load import stream_events

HANGS_S = 90.0
_PAUSE_S = 0.2
_TOPICS = ("the sea", "a lighthouse", "the night train", "an old bridge", "the first snow", "a market", "two rivers")


class Ending(StrEnum):
    """How a request ended for its caller."""

    ANSWERED = "answered"
    """By this box."""
    SPILLED = "spilled"
    """By the backend that stands for a cloud."""
    REFUSED = "refused"
    """429 or 503, with when to come back."""
    BROKEN = "broken"
    """A stream that had begun ended with an error event."""
    CUT = "cut"
    """A stream ended without its end, and without a word: it should never happen."""
    FAILED = "failed"
    """Another status, or no connection."""
    HUNG = "hung"
    """Nothing came any more: it should never happen."""


class Request(msgspec.Struct):
    """A request and what came of it; times are seconds of one clock."""

    sent: float
    ending: Ending = Ending.HUNG
    first: float | None = None
    ended: float = 0.0
    tokens: int = 0
    detail: str = ""


class Caller:
    """Asks one gateway for streams of `tokens` tokens."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tokens: int) -> None:
        self.requests: list[Request] = []
        self._session = session
        self._url = url
        self._tokens = tokens

    async def closed(self, clients: int, seconds: float) -> None:
        """Each client asks, and again and again; what runs when the time is over is heard to its end."""
        until = time.monotonic() + seconds

        async def client(number: int) -> None:
            chosen = random.Random(number)
            while True:
                ending = await self.ask(chosen)
                if time.monotonic() >= until:
                    return
                if ending is not Ending.ANSWERED:
                    # What is answered elsewhere costs this box nothing: it must not be flooded with more of it.
                    await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(client(number))

    async def open(self, rate: float, seconds: float, seed: int) -> None:
        """Requests at times that are independent of each other (Poisson), `rate` a second."""
        chosen = random.Random(seed)
        async with asyncio.TaskGroup() as group:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                group.create_task(self.ask(random.Random(chosen.random())))
                await asyncio.sleep(chosen.expovariate(rate))

    async def ask(self, chosen: random.Random) -> Ending:
        """One request; how it ended."""
        request = Request(time.monotonic())
        self.requests.append(request)
        try:
            async with asyncio.timeout(HANGS_S):
                await self._hear(request, _body(chosen, self._tokens))
        except TimeoutError:
            request.ending = Ending.HUNG
        except aiohttp.ClientError as error:
            begun = request.first is not None
            request.ending, request.detail = (Ending.CUT if begun else Ending.FAILED), repr(error)
        request.ended = time.monotonic()
        return request.ending

    async def _hear(self, request: Request, body: dict[str, Any]) -> None:
        async with self._session.post(self._url, json=body, headers={"x-forebay-no-escalation": "true"}) as response:
            if response.status != 200:
                request.ending = Ending.REFUSED if response.status in (429, 503) else Ending.FAILED
                request.detail = f"{response.status} {(await response.text())[:300]}"
                return
            here = response.headers.get("x-forebay-tier") == "light"
            request.ending = Ending.CUT
            async for data in stream_events(response):
                if data == b"[DONE]":
                    request.ending = Ending.ANSWERED if here else Ending.SPILLED
                    return
                event = json.loads(data)
                if "error" in event:
                    request.ending, request.detail = Ending.BROKEN, str(event["error"].get("code"))
                    return
                self._note(request, event)

    def _note(self, request: Request, event: dict[str, Any]) -> None:
        if any(choice.get("delta", {}).get("content") for choice in event.get("choices", ())):
            request.tokens += 1
            if request.first is None:
                request.first = time.monotonic()


def asked(url: str, tokens: int, work: Callable[[Caller], Awaitable[None]]) -> list[Request]:
    """Every request of a piece of work."""

    async def run() -> list[Request]:
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
            caller = Caller(session, url, tokens)
            await work(caller)
            return caller.requests

    return asyncio.run(run())


def figures(requests: Sequence[Request], seconds: float) -> dict[str, float]:
    """Of one load that took so long: how requests ended, and how soon those of this box began."""
    here = [each for each in requests if each.ending is Ending.ANSWERED]
    first = [(each.first - each.sent) * 1000 for each in here if each.first is not None]
    counts = {ending.value: float(sum(each.ending is ending for each in requests)) for ending in Ending}
    return {
        "offered": float(len(requests)),
        **counts,
        "first_p50_ms": round(percentile(first, 0.5), 1),
        "first_p99_ms": round(percentile(first, 0.99), 1),
        "tokens_per_s": round(sum(each.tokens for each in here) / seconds, 1),
        "answered_per_s": round(len(here) / seconds, 2),
    }


def _body(chosen: random.Random, tokens: int) -> dict[str, Any]:
    about = f"Tell a story about {chosen.choice(_TOPICS)} and the number {chosen.randrange(10**6)}."
    return {
        "model": "auto",
        "messages": [{"role": "user", "content": about}],
        "max_tokens": tokens,
        "min_tokens": tokens,
        "stream": True,
    }
