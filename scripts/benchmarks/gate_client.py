"""A policy in front of a real engine: requests over HTTP when they are due, their tokens noted as they arrive.

Prompts are words in an order of their own, so that none begins like another, and answers are read as streams. What
slows the engine down are processes that do nothing but take its cores.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import aiohttp
import msgspec

from local_models.hardware import cpu_count
from local_models.snapshot import parse_metrics
from scripts.benchmarks import engine_prompts as prompts
from scripts.benchmarks.engine_load import WrongAnswerError, stream_events
from scripts.benchmarks.gate_door import Door
from scripts.benchmarks.gate_traffic import Arrival
from scripts.benchmarks.gate_world import SCRAPE_S, Gauges, Load, Policy, Served

_STORY: Final = "Tell me a very long story."
_STORY_TOKENS: Final = 7
_WORDS_PER_TOKEN: Final = 12 / 13
"""Common words are a token each, and every twelfth has a full stop."""
_HOG: Final = (sys.executable, "-c", "while True: pass")


class Client:
    """One policy under one load, against the engine at the base address of `session`."""

    def __init__(self, session: aiohttp.ClientSession, load: Load, policy: Policy, seed: int) -> None:
        self._session = session
        self._load = load
        self._door = Door(load, policy, seed, self._send)
        self._clock = asyncio.get_running_loop().time
        self._began = 0.0
        self._asks: asyncio.TaskGroup | None = None

    async def run(self, told: Callable[[float], None]) -> list[Served]:
        """Until the last request is over; `told` is which share is. What the box answered has its real lengths."""
        door = self._door
        self._began = self._clock()
        beside = [asyncio.create_task(each) for each in (self._scrape(), self._hog())]
        try:
            async with asyncio.TaskGroup() as self._asks:
                for number, (request, _) in enumerate(door.offers):
                    await asyncio.sleep(request.at - self._now())
                    door.offer(number, self._now())
                    told(door.done / len(door.offers))
                while not door.over:
                    await asyncio.sleep(SCRAPE_S)
                    _raise_from(beside)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        return door.served

    def _now(self) -> float:
        return self._clock() - self._began

    def _send(self, number: int, arrival: Arrival) -> None:
        if self._asks is not None:
            self._asks.create_task(self._ask(number, arrival))

    async def _ask(self, number: int, arrival: Arrival) -> None:
        times: list[float] = []
        usage: dict[str, int] = {}
        async with self._session.post("/v1/completions", json=self._body(number, arrival)) as response:
            if response.status != 200:
                raise WrongAnswerError(f"status {response.status}: {(await response.text())[:1000]}")
            async for data in stream_events(response):
                if data != b"[DONE]":
                    self._note(number, msgspec.json.decode(data), times, usage)
        if not usage:
            raise WrongAnswerError("a stream without its end")
        if not times:
            # The model had nothing to say: its first token was the last.
            self._tell(number, times)
        self._door.policy.ended(number, self._now())
        lengths = arrival._replace(prompt=usage["prompt_tokens"], answer=usage["completion_tokens"])
        self._door.ended(number, times[0], times[-1], lengths)
        self._door.offer_again(self._now())

    def _body(self, number: int, arrival: Arrival) -> dict[str, Any]:
        request, _ = self._door.offers[number]
        count = max(1, round((arrival.prompt - _STORY_TOKENS) * _WORDS_PER_TOKEN))
        return {
            "model": "bench",
            "prompt": f"{prompts.words(count, f'{arrival}{number}')} {_STORY}",
            "max_tokens": arrival.answer,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "priority": request.priority.in_engines,
        }

    def _note(self, number: int, event: Any, times: list[float], usage: dict[str, int]) -> None:
        if "error" in event:
            raise WrongAnswerError(f"an error: {event['error']}")
        usage.update(event.get("usage") or {})
        if any(choice.get("text") for choice in event.get("choices", ())):
            self._tell(number, times)

    def _tell(self, number: int, times: list[float]) -> None:
        times.append(self._now())
        self._door.policy.token(number, times[-1])
        self._door.offer_again(times[-1])

    async def _scrape(self) -> None:
        while True:
            async with self._session.get("/metrics") as response:
                seen = parse_metrics(await response.text(), 0.0)
            if seen.waiting is not None and seen.kv_usage is not None:
                self._door.policy.scraped(Gauges(int(seen.waiting), seen.kv_usage), self._now())
            self._door.offer_again(self._now())
            await asyncio.sleep(SCRAPE_S)

    async def _hog(self) -> None:
        """Take the cores from when the engine is to be slower until it is not any more."""
        for slower, faster in pairwise(self._load.speeds):
            await asyncio.sleep(slower.at - self._now())
            if slower.share < 1:
                await _hog_for(faster.at - self._now())


async def _hog_for(seconds: float) -> None:
    hogs = [await asyncio.create_subprocess_exec(*_HOG) for _ in range(cpu_count())]
    try:
        await asyncio.sleep(seconds)
    finally:
        for hog in hogs:
            hog.kill()
            await hog.wait()


def _raise_from(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        if task.done():
            task.result()
