"""Thousands of requests to an engine, most of them short, many given up at random, and what became of them."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from scripts.benchmarks.engine_prompts import words

CLIENTS = 24
_GIVEN_UP, _PATIENCE_S, _END_S = 0.4, 0.3, 300.0
_LONG = 0.04
"""So many prompts are long enough to be evaluated aside."""


@dataclass
class Tally:
    """Requests by what became of them; `wrong` says what of those that did not end as they should."""

    ended: int = 0
    given_up: int = 0
    refused: int = 0
    wrong: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All of them."""
        return self.ended + self.given_up + self.refused + len(self.wrong)


async def soak(base: str, count: int, seed: int, told: Callable[[Tally], None]) -> Tally:
    """Ask `count` times, by some clients at once; `told` hears after each what became of all so far."""
    tally, draw, numbers = Tally(), random.Random(seed), iter(range(count))
    # A connection each: whoever gives up closes it, and it is a new client that comes.
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=_END_S)
    async with aiohttp.ClientSession(base, connector=connector, timeout=timeout, trust_env=False) as session:

        async def client() -> None:
            for number in numbers:
                await _one(session, tally, *asked(draw, number))
                told(tally)

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(client())
    return tally


def asked(draw: random.Random, number: int) -> tuple[dict[str, Any], float | None]:
    """A request, and after how many seconds whoever asks goes away; None is never."""
    size = draw.randint(540, 760) if draw.random() < _LONG else draw.randint(1, 40)
    body: dict[str, Any] = {
        "model": "bench",
        "messages": [{"role": "user", "content": words(size, f"{number}")}],
        "max_tokens": draw.randint(1, 12),
        "temperature": draw.choice((0.0, 0.8)),
        "stream": draw.random() < 0.7,
        "n": draw.choice((1, 1, 1, 2)),
        "logprobs": draw.random() < 0.5,
    }
    return body, draw.uniform(0.0, _PATIENCE_S) if draw.random() < _GIVEN_UP else None


async def _one(session: aiohttp.ClientSession, tally: Tally, body: dict[str, Any], patience: float | None) -> None:
    try:
        async with asyncio.timeout(patience):
            problem = await _ask(session, body)
    except TimeoutError:
        if patience is None:
            tally.wrong += (f"no end in {_END_S:.0f} s",)
        else:
            tally.given_up += 1
        return
    except aiohttp.ClientError as error:
        problem = f"{type(error).__name__}: {error}"
    if problem == "refused":
        tally.refused += 1
    elif problem:
        tally.wrong += (problem,)
    else:
        tally.ended += 1


async def _ask(session: aiohttp.ClientSession, body: dict[str, Any]) -> str:
    """What is wrong with the answer; nothing if it ended as it should, `refused` for one that was not accepted."""
    async with session.post("/v1/chat/completions", json=body) as response:
        text = await response.text()
        if response.status == 503 and "retry-after" in response.headers:
            return "refused"
        if response.status != 200:
            return f"status {response.status}: {text[:200]}"
    return problem_of(text, streamed=body["stream"], choices=body["n"])


def problem_of(text: str, *, streamed: bool, choices: int) -> str:
    """What is wrong with the text of an answer, if anything: every choice is to say how it finished."""
    if not streamed:
        events = [json.loads(text)]
    else:
        data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        if not data or data.pop() != "[DONE]":
            return f"a stream without its end: {text[-200:]}"
        events = [json.loads(each) for each in data]
    wrong = [str(event["error"]) for event in events if "error" in event]
    if wrong:
        return f"an error: {wrong[0]}"
    finished = {
        choice["index"] for event in events for choice in event.get("choices", ()) if choice.get("finish_reason")
    }
    return "" if len(finished) == choices else f"{len(finished)} of {choices} choices have finished"
