"""What the fault server keeps: programs, calls, their bills, and who waits for what."""

import asyncio
import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

from msgspec import structs

from tests.faults.behaviours import Behaviour, Bill, Call, Door, Price, Program, Says, State, Wanted
from tests.faults.http1 import Request

Judge = Callable[[str, dict[str, Any]], str | None]
"""What is wrong with a body that came to a path; None when nothing is."""

_NANO = 1_000_000_000
_MILLION = 1_000_000


class Book:
    """Programs in, calls out. One per server; every change wakes those who wait. Without a judge any body is good."""

    def __init__(self, judge: Judge | None = None) -> None:
        self._judge = judge
        self.prices: dict[str, Price] = {}
        self.health = 200
        self.door = Door()
        self.connections = 0
        self._calls: list[Call] = []
        self._queues: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._always: dict[str, Behaviour] = {}
        self._held: dict[int, str] = {}
        self._released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._generation = 0
        self._changed = asyncio.Event()

    def reset(self) -> None:
        """Forget programs and calls; calls under way go on unseen, those held are let go."""
        for event in self._released.values():
            event.set()
        self._calls.clear()
        self._queues.clear()
        self._always.clear()
        self._held.clear()
        self._released = defaultdict(asyncio.Event)
        self.health = 200
        self.door = Door()
        self._generation += 1
        self._tell()

    def program(self, program: Program) -> None:
        """What the next calls of a model meet."""
        if program.always:
            self._always[program.model] = program.behaviours[0]
        else:
            self._queues[program.model].extend(program.behaviours)

    def behaviour(self, model: str) -> Behaviour:
        """What this call meets."""
        queue = self._queues[model]
        return queue.popleft() if queue else self._always.get(model, Says())

    def connected(self, change: Literal[1, -1]) -> None:
        """A caller's connection came or went."""
        self.connections += change
        self._tell()

    def arrived(self, request: Request, connection: int) -> "OpenCall":
        """A call has come, whole."""
        body = request.body.decode()
        asked = json.loads(body)
        call = Call(
            number=len(self._calls),
            connection=connection,
            path=request.path,
            model=str(asked.get("model")),
            headers=request.headers,
            body=body,
            arrived_at=time.monotonic(),
            problem=None if self._judge is None else self._judge(request.path, asked),
        )
        self._calls.append(call)
        self._tell()
        return OpenCall(self, call, self._generation)

    def ended(self, call: Call, generation: int) -> None:
        """A call is over."""
        if generation == self._generation:
            self._calls[call.number] = call
            self._tell()

    async def held(self, call: "OpenCall", name: str) -> None:
        """Wait until `name` is released."""
        released = self._released[name]
        self._held[call.number] = name
        self._tell()
        try:
            await released.wait()
        finally:
            self._held.pop(call.number, None)
            self._tell()

    def release(self, name: str) -> None:
        """Let go those who are held by this name, and those still to come."""
        self._released[name].set()

    def state(self) -> State:
        """All of it."""
        return State(tuple(self._calls), self.connections)

    async def wait(self, wanted: Wanted) -> int | None:
        """The count once it is as wanted; None when it is not in time."""
        try:
            async with asyncio.timeout(wanted.timeout):
                while not wanted.least <= (count := self._count(wanted)) <= wanted.most:
                    await self._changed.wait()
                return count
        except TimeoutError:
            return None

    def bill(self, model: str, prompt: int, completion: int, cached: int) -> Bill:
        """The price of tokens, in exact fractions, rounded up once."""
        price = self.prices.get(model, Price())
        per_cached = Fraction(price.input if price.cached is None else price.cached)
        dollars = (
            Fraction(price.input) * (prompt - cached) + per_cached * cached + Fraction(price.output) * completion
        ) / _MILLION
        return Bill(prompt, completion, cached, math.ceil(dollars * _NANO))

    def _count(self, wanted: Wanted) -> int:
        calls = [call for call in self._calls if wanted.model in (None, call.model)]
        match wanted.what:
            case "arrived":
                return len(calls)
            case "ended":
                return sum(call.end is not None for call in calls)
            case "open":
                return sum(call.end is None for call in calls)
            case "held":
                return sum(call.number in self._held for call in calls)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class OpenCall:
    """A call under way, and what has been generated for it."""

    def __init__(self, book: Book, call: Call, generation: int) -> None:
        self.number = call.number
        self.asked: dict[str, Any] = json.loads(call.body)
        self._book = book
        self._call = call
        self._generation = generation

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self._call.model

    @property
    def path(self) -> str:
        """Where it came to."""
        return self._call.path

    @property
    def problem(self) -> str | None:
        """What is wrong with it."""
        return self._call.problem

    def end(self, how: Literal["answered", "broken_off", "client_left"], bill: Bill | None) -> None:
        """Over; the first call of this counts."""
        if self._call.end is None:
            self._call = structs.replace(self._call, ended_at=time.monotonic(), end=how, bill=bill)
            self._book.ended(self._call, self._generation)
