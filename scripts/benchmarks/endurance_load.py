"""Callers of a gateway for as long as it is to be soaked: who they are, when they give up, and what became of them."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

from scripts.benchmarks.engine_prompts import words
from tests.e2e.agreement import Told, agree
from tests.e2e.books import Books
from tests.e2e.configs import key_of
from tests.e2e.events import Events
from tests.e2e.stack import json_bytes

CLIENTS = 10
TENANTS = MappingProxyType({"interactive": "rush", "batch": "bulk", "local only": "vault"})
"""By kind of caller."""
LOCAL, CLOUD = "local", "mini"
_ELSEWHERE = MappingProxyType({"x-forebay-allow-fallback": "true", "x-forebay-no-escalation": "true"})
_GIVEN_UP, _PATIENCE_S, _END_S = 0.25, 1.5, 120.0
_STREAMED, _LATER_S = 0.7, 1.0


@dataclass
class Tally:
    """Requests by kind and by what became of them; `wrong` says what of those that did not end as they should."""

    fates: Counter[tuple[str, str]] = field(default_factory=Counter)
    ids: dict[str, str] = field(default_factory=dict)
    """What became of each request."""
    troubles: Counter[str] = field(default_factory=Counter)
    """What was done to the engine and the cloud meanwhile."""
    wrong: list[str] = field(default_factory=list)

    def note(self, request_id: str, kind: str, fate: str) -> None:
        """This became of it."""
        self.fates[kind, fate] += 1
        self.ids[request_id] = fate

    @property
    def total(self) -> int:
        """All of them."""
        return self.fates.total()

    def of(self, fate: str) -> int:
        """How many, of all kinds."""
        return sum(count for (_, each), count in self.fates.items() if each == fate)


class Asked(NamedTuple):
    """A request: of whom, what, and after how many seconds he goes away; None is never."""

    kind: str
    body: dict[str, Any]
    patience_s: float | None


async def load(
    base_url: str, books: Books, tally: Tally, seed: int, more: Callable[[], bool], told: Callable[[], None]
) -> None:
    """Ask, by some clients at once, while `more` says so; `told` is called after each request."""
    draw = random.Random(seed)
    timeout, limits = httpx.Timeout(_END_S), httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=timeout, limits=limits) as http:

        async def client(name: int) -> None:
            for number in itertools.count():
                if not more():
                    return
                request_id = f"soak-{name}-{number}"
                await _one(http, books, tally, request_id, asked(draw, request_id))
                told()

        async with asyncio.TaskGroup() as group:
            for name in range(CLIENTS):
                group.create_task(client(name))


def asked(draw: random.Random, name: str) -> Asked:
    """The next request; `name` is in nobody else's prompt."""
    body: dict[str, Any] = {
        "model": LOCAL,
        "messages": [{"role": "user", "content": words(draw.choice((5, 20, 200)), name)}],
        "max_tokens": draw.choice((2, 8, 30)),
        "temperature": draw.choice((0.0, 0.8)),
        "stream": draw.random() < _STREAMED,
    }
    return Asked(
        draw.choice(tuple(TENANTS)), body, draw.uniform(0.0, _PATIENCE_S) if draw.random() < _GIVEN_UP else None
    )


async def _one(http: httpx.AsyncClient, books: Books, tally: Tally, request_id: str, request: Asked) -> None:
    kind, body, patience = request
    headers = {"x-request-id": request_id, **key_of(TENANTS[kind]), **_ELSEWHERE}
    try:
        async with asyncio.timeout(patience):
            response = await http.post("/chat/completions", content=json_bytes(body), headers=headers)
    except TimeoutError:
        tally.note(request_id, kind, "given up")
        return
    except httpx.HTTPError as error:
        tally.note(request_id, kind, "wrong")
        tally.wrong.append(f"{request_id}: {type(error).__name__}: {error}")
        return
    try:
        told, fate = judged(response, kind, streamed=body["stream"])
        await asyncio.to_thread(agree, told, books, request_id)
    except AssertionError as error:
        fate = "wrong"
        tally.wrong.append(f"{request_id}, {kind}: {str(error)[:500]}")
    tally.note(request_id, kind, fate)
    if response.status_code != 200:
        # It was told to come back later; refusals wear nothing.
        await asyncio.sleep(_LATER_S)


def judged(response: httpx.Response, kind: str, *, streamed: bool) -> tuple[Told, str]:
    """What its caller was told, and what became of it. Raises AssertionError where it did not end as it should."""
    if response.status_code != 200:
        assert response.status_code in (429, 502, 503, 504), response.text[:200]
        assert response.status_code not in (429, 503) or int(response.headers["retry-after"]) >= 1, "when to come back"
        return Told.whole(response), "refused" if response.status_code in (429, 503) else "failed"
    backend = response.headers["x-forebay-backend"]
    assert kind != "local only" or backend == LOCAL, f"it left the box, for {backend}"
    if not streamed:
        assert all(choice["finish_reason"] for choice in response.json()["choices"]), "a choice without its end"
        return Told.whole(response), backend
    events = Events(response.content, response)
    told = Told.streamed(events)
    if told.error is not None:
        assert not events.done, "an error, and then a proper end"
        return told, "interrupted"
    assert events.done, f"a stream without its end: {response.text[-200:]}"
    assert events.finish_reason, "a stream without a finish reason"
    return told, backend
