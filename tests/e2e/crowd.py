"""Many streamed chats at once, each kind with what it is asked, and what its caller saw."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from gateway.awake import AwakeClock
from tests.e2e.configs import TO_LIGHT
from tests.e2e.events import Events
from tests.e2e.stack import json_bytes

_PATIENCE_S = 100.0
"""Less than a test has in all; a vLLM on a CPU that others use as well takes its time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a caller asks."""

    model: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Caller:
    """One request, and its answer as far as it has come; when it began and ended is told by the crowd's clock."""

    name: str
    kind: str
    raw: bytes = b""
    response: httpx.Response | None = None
    pieces: int = 0
    began_at: float = float("inf")
    ended_at: float = float("inf")

    @property
    def over(self) -> bool:
        """Whether it has been answered to the end."""
        return self.ended_at < float("inf")

    @property
    def status(self) -> int:
        """The HTTP status."""
        assert self.response is not None
        return self.response.status_code

    @property
    def whole(self) -> httpx.Response:
        """An answer that was no stream."""
        assert self.response is not None
        return httpx.Response(self.status, headers=self.response.headers, content=self.raw)

    @property
    def events(self) -> Events:
        """What was streamed."""
        return Events(self.raw, self.response)


class Crowd:
    """Callers of one gateway. Use as an async context.

    `time` is their clock: time in which the machine stood still is in no span of it.
    """

    def __init__(self, base_url: str, kinds: Mapping[str, Kind]) -> None:
        self.callers: list[Caller] = []
        self._clock = AwakeClock()
        self.time = self._clock.time
        self._url = f"{base_url}/chat/completions"
        self._kinds = kinds
        self._http = httpx.AsyncClient(trust_env=False, timeout=100, limits=httpx.Limits(max_connections=None))
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._clock.begin()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._clock.end()
        await self._http.aclose()

    def ask(self, prefix: str, kinds: Sequence[str]) -> None:
        """One more caller of each kind, all at once."""
        for kind in kinds:
            caller = Caller(f"{prefix}-{len(self.callers)}-{kind.replace(' ', '-')}", kind)
            self.callers.append(caller)
            self._tasks.append(asyncio.create_task(self._stream(caller, self._kinds[kind])))

    async def streaming(self, kind: str, pieces: int) -> None:
        """Wait until this many more pieces have come to callers of a kind, and at least one to each of them. Fails, and
        says what they have, where all are over before or they do not come.
        """
        callers = [caller for caller in self.callers if caller.kind == kind]
        wanted = pieces + sum(caller.pieces for caller in callers)

        def come() -> bool:
            return all(caller.pieces for caller in callers) and sum(caller.pieces for caller in callers) >= wanted

        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S), self._news:
                await self._news.wait_for(lambda: come() or all(caller.over for caller in callers))
        assert come(), f"fewer than {wanted} pieces: {callers}"

    async def ended(self) -> None:
        """Wait for the end of every answer."""
        await asyncio.gather(*self._tasks)

    async def _stream(self, caller: Caller, kind: Kind) -> None:
        prompt = {"role": "user", "content": f"Tell a long story about the number {caller.name}."}
        body = {"model": kind.model, "messages": [prompt], "stream": True, **kind.body}
        headers = {"x-request-id": caller.name, **kind.headers}
        async with self._http.stream("POST", self._url, content=json_bytes(body), headers=headers) as response:
            caller.response = response
            async for data in response.aiter_raw():
                caller.raw += data
                caller.pieces += 1
                caller.began_at = min(caller.began_at, self.time())
                async with self._news:
                    self._news.notify_all()
        caller.ended_at = self.time()
        async with self._news:
            self._news.notify_all()


LONG = {"max_tokens": 600, "temperature": 1.0}
KINDS = {
    "committed": Kind("local", body=LONG),
    "held whole": Kind("auto", TO_LIGHT, {**LONG, "response_format": {"type": "json_object"}}),
    "on probation": Kind("auto", TO_LIGHT, LONG),
    "may go elsewhere": Kind("local", {"x-forebay-allow-fallback": "true"}, LONG),
    "insists": Kind("local", body={**LONG, "max_tokens": 8}),
}
"""`local` streams at once and goes on for long; the others are held, or wait, and all but those who insist on it may
be answered by somebody else.
"""
