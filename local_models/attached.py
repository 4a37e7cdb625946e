"""Kind `attached`: servers that somebody else runs. Watched, fenced when unwell, never started, stopped or killed."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import httpx
from msgspec import structs

from local_models.pause import pause
from local_models.policy import Policy
from local_models.probe import Canary, EngineProbe, Listed, Verdict
from local_models.progress import Gait, Progress
from local_models.supervisor import Surroundings
from local_models.trust import client_context
from local_models.types import EngineMetrics, EngineSnapshot, EngineSpec, EngineState, Replica

_WATCH_S: Final = 1.0
_FENCE_AFTER: Final = 3
# Nobody told what hardware theirs is: a step may be a long piece of a prompt on a CPU.
_STALL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Watched:
    """One url and what its checks said."""

    url: str
    state: EngineState = EngineState.STARTING
    detail: str = "not asked yet"
    since: float = 0.0
    failures: int = 0
    hung: bool = False
    """It says that it is well, and makes no step although there is work for it."""
    metrics: EngineMetrics | None = None
    listed: Listed | None = None
    """The model that it lists first, and what it says of it; None while that is unknown."""


def judge(before: Watched, verdict: Verdict, metrics: EngineMetrics | None, at: float) -> Watched:
    """What one more check, finished at Unix time `at`, makes of it. Pure.

    One failure in a row is a hiccup as long as it served before; a server that never answered is fenced at once.
    """
    if verdict.ok:
        after = replace(before, state=EngineState.UP, detail="", failures=0, hung=False, metrics=metrics)
    else:
        failures = before.failures + 1
        hiccup = before.state.serving and failures < _FENCE_AFTER
        state = EngineState.DEGRADED if hiccup else EngineState.FENCED
        listed = before.listed if state.serving else None
        after = replace(
            before, state=state, detail=verdict.why, failures=failures, hung=False, metrics=None, listed=listed
        )
    return after if after.state is before.state else replace(after, since=at)


def suspect(before: Watched, well: Watched, stood_still: float, limit: float) -> Watched:
    """One that is well by its checks, but has made no step for so long although there is work for it. Pure."""
    why = f"/health says that it is well, but it has made no step for {stood_still:.0f} s"
    hung = stood_still >= limit
    after = replace(well, state=EngineState.FENCED if hung else EngineState.DEGRADED, detail=why, hung=hung)
    return replace(after, since=before.since) if after.state is before.state else after


def combine(spec: EngineSpec, watched: tuple[Watched, ...], since: float) -> EngineSnapshot:
    """One snapshot of all its urls. Pure. UP when all are, FENCED or STARTING when none serves."""
    states = {one.state for one in watched}
    serving = [one for one in watched if one.state.serving]
    if serving:
        state = EngineState.UP if states == {EngineState.UP} else EngineState.DEGRADED
    else:
        state = EngineState.STARTING if EngineState.STARTING in states else EngineState.FENCED
    # Whoever balances does it by what it sends; one that is named must not change with every scrape.
    chosen = next((one for one in serving if one.state is EngineState.UP), next(iter(serving), None))
    listed = chosen.listed if chosen is not None else None
    return EngineSnapshot(
        name=spec.name,
        state=state,
        url=chosen.url if chosen is not None else None,
        detail="; ".join(f"{one.url}: {one.detail}" for one in watched if one.detail),
        since=since,
        restarts=0,
        pid=None,
        model=spec.model or (listed.id if listed is not None else ""),
        slots=spec.parallel,
        capabilities=_shared(serving),
        hung=not serving and any(one.hung for one in watched),
        metrics=chosen.metrics if chosen is not None else None,
        replicas=tuple(
            Replica(
                url=one.url,
                state=one.state,
                detail=one.detail,
                since=one.since,
                hung=one.hung,
                metrics=one.metrics if one.state.serving else None,
            )
            for one in watched
        ),
    )


def _shared(serving: list[Watched]) -> tuple[str, ...] | None:
    """What all of them say they can do: whichever is asked must be able to. None where one of them says nothing."""
    said = [
        one.listed.capabilities for one in serving if one.listed is not None and one.listed.capabilities is not None
    ]
    if not said or len(said) < len(serving):
        return None
    return tuple(word for word in said[0] if all(word in other for other in said))


class AttachedEngine:
    """Watches the urls of a spec from `run` until `stop`."""

    def __init__(self, spec: EngineSpec, around: Surroundings, stall_limit: float = _STALL_S) -> None:
        """Fenced when there is work for it and no step was made for so many seconds; one without work is left alone."""
        self.spec = spec
        self._stall_limit = stall_limit
        self._around = around
        self._watched = {url: Watched(url.rstrip("/"), since=time.time()) for url in spec.urls}
        self._stopping = asyncio.Event()
        self._in_flight = 0
        self._snapshot = combine(spec, tuple(self._watched.values()), time.time())

    def snapshot(self) -> EngineSnapshot:
        """How it is at present."""
        return self._snapshot

    def start(self) -> None:
        """Nothing to do: it is watched all the time."""

    def stop(self) -> None:
        """Stop watching; `run` returns."""
        self._stopping.set()

    def sent(self, in_flight: int) -> None:
        """So many requests are in flight to one or the other of its servers, by the count of those who sent them."""
        self._in_flight = in_flight

    async def run(self) -> None:
        """Watch until `stop`."""
        async with self._client() as http, asyncio.TaskGroup() as tasks:
            watchers = [tasks.create_task(self._watch(url, http)) for url in self._watched]
            await self._stopping.wait()
            for watcher in watchers:
                watcher.cancel()
        self._publish(
            structs.replace(
                self._snapshot, state=EngineState.STOPPED, url=None, detail="stopped", metrics=None, replicas=()
            )
        )

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        """The one that all share, or one that trusts the certificates of this spec."""
        if self.spec.ca is None:
            yield self._around.http
            return
        async with httpx.AsyncClient(trust_env=False, verify=client_context(self.spec.ca)) as http:
            yield http

    async def _watch(self, url: str, http: httpx.AsyncClient) -> None:
        probe, progress = EngineProbe(url, http), Progress()
        asking: asyncio.Task[Verdict] | None = None
        patience = Policy(stall_limit=self._stall_limit, quiet_limit=math.inf)
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as canaries:
            while True:
                verdict = await probe.health()
                metrics = await probe.metrics() if verdict.ok else None
                progress = progress.seen(metrics, clock(), self._in_flight)
                gait = progress.gait(clock(), patience)
                if gait is not Gait.WELL and (asking is None or asking.done()):
                    # What comes of it shows in its figures.
                    asking = canaries.create_task(probe.canary(Canary(self.spec.runner, self.spec.model or None)))
                latest = judge(before := self._watched[url], verdict, metrics, time.time())
                if gait is Gait.STILL:
                    latest = suspect(before, latest, progress.stood_still(clock()), self._stall_limit)
                if verdict.ok and latest.listed is None:
                    latest = replace(latest, listed=await probe.listed())
                self._watched[url] = latest
                self._publish(combine(self.spec, tuple(self._watched.values()), self._snapshot.since))
                progress = progress.excused(await pause(_WATCH_S))

    def _publish(self, latest: EngineSnapshot) -> None:
        if latest.state is not self._snapshot.state:
            latest = structs.replace(latest, since=time.time())
        if latest != self._snapshot:
            self._snapshot = latest
            self._around.changed()
