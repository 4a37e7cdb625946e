"""Keeps one engine process running: turns what happens into events, and performs what `process.step` decides.

One task owns the state: it takes one event at a time and performs its effects before the next. Watchers of the
process (its exit, its health, a canary) only post events. What an effect itself brings about is handled at once,
ahead of anything queued, so that a stop asked for during a launch always meets a known pid.
"""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from local_models.launch import Child, Launcher, NoRoomForIt, launch
from local_models.logs import EngineLog, one_line
from local_models.pause import pause
from local_models.probe import EngineProbe, Verdict
from local_models.process import Process, step
from local_models.process_events import (
    CanaryFailed,
    CanaryOk,
    Effect,
    Event,
    Exited,
    HealthFailed,
    HealthOk,
    Kill,
    NoRoom,
    Quiet,
    RunCanary,
    Spawn,
    Spawned,
    SpawnFailed,
    Stalled,
    Start,
    StopAsked,
    Sweep,
    Terminate,
    Tick,
    Unkillable,
)
from local_models.proctable import Identity, family, sweep
from local_models.progress import Gait, Progress
from local_models.roster import Roster
from local_models.types import EngineMetrics, EngineSnapshot, EngineSpec, EngineState

_WATCH_S: Final = 1.0
# While it starts nobody should wait a second for the news; while it fails, two more checks tell a hiccup.
_WATCH_CLOSELY_S: Final = 0.2
_SWEEP_S: Final = 5.0
# What an engine begins it begins while it starts, which takes longer.
_FAMILY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What engines share."""

    http: httpx.AsyncClient
    logs: Path
    """Folder of the engines' logs."""
    roster: Roster
    changed: Callable[[], None]
    """To be called when a snapshot is another than before."""


class EngineSupervisor:
    """One engine process, from `run` until it has stopped."""

    def __init__(self, spec: EngineSpec, launcher: Launcher, around: Surroundings) -> None:
        self.spec = spec
        self._launcher = launcher
        self._around = around
        self._log = EngineLog(around.logs / f"engine-{spec.name}.log")
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._process = Process()
        self._since = time.time()
        self._child: Child | None = None
        self._family: tuple[Identity, ...] = ()
        self._watchers: set[asyncio.Task[None]] = set()
        self._metrics: EngineMetrics | None = None
        self._in_flight = 0
        self._capabilities: tuple[str, ...] | None = None

    def snapshot(self) -> EngineSnapshot:
        """How it is at present."""
        process = self._process
        return EngineSnapshot(
            name=self.spec.name,
            state=process.state,
            url=self._child.url if self._child is not None else None,
            detail=process.detail,
            since=self._since,
            restarts=process.restarts,
            pid=process.pid,
            model=self.spec.model,
            slots=self.spec.parallel,
            capabilities=self._capabilities,
            hung=process.state is EngineState.FENCED,
            metrics=self._metrics if process.state.serving else None,
        )

    def start(self) -> None:
        """It is wanted (again): a quarantine ends. Nothing happens while it runs or is about to."""
        self._events.put_nowait(Start())

    def stop(self) -> None:
        """It is not wanted any more; `run` returns when it is gone."""
        self._events.put_nowait(StopAsked())

    def sent(self, in_flight: int) -> None:
        """So many requests are in flight to it, by the count of those who sent them."""
        self._in_flight = in_flight

    async def run(self) -> None:
        """Start the engine and keep it running until `stop`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._apply(Start(), tasks)
                while not self._over:
                    await self._apply(await self._next_event(), tasks)
                self._dismiss_watchers()
        finally:
            await self._abandon()

    @property
    def _over(self) -> bool:
        stopped = self._process.state is EngineState.STOPPED
        return stopped and (self._process.pid is None or self._process.deadline is None)

    async def _next_event(self) -> Event:
        if self._process.deadline is None or not self._events.empty():
            return await self._events.get()
        try:
            async with asyncio.timeout_at(self._process.deadline):
                return await self._events.get()
        except TimeoutError:
            return Tick()

    async def _apply(self, event: Event, tasks: asyncio.TaskGroup) -> None:
        pending = deque((event,))
        while pending:
            for effect in self._advance(pending.popleft()):
                if (consequence := await self._perform(effect, tasks)) is not None:
                    pending.append(consequence)

    def _advance(self, event: Event) -> tuple[Effect, ...]:
        before = self._process
        now = asyncio.get_running_loop().time()
        self._process, effects = step(before, event, now, self._launcher.policy)
        if self._process.state is not before.state:
            self._since = time.time()
        if self._process != before:
            self._around.changed()
        return effects

    async def _perform(self, effect: Effect, tasks: asyncio.TaskGroup) -> Event | None:
        match effect:
            case Spawn(launch=number):
                return await self._spawn(number, tasks)
            case RunCanary(launch=number):
                if self._child is not None:
                    self._have_watched(tasks, self._try_canary(number, self._child))
            case Terminate():
                self._signal(signal.SIGTERM)
            case Kill():
                self._look_at_family()
                self._signal(signal.SIGKILL)
            case Sweep(launch=number):
                return await self._sweep(number)
        return None

    async def _spawn(self, number: int, tasks: asyncio.TaskGroup) -> Event:
        self._log.begin(f"launch {number} of {self.spec.name}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}")
        try:
            child = await launch(self.spec, self._launcher, self._log)
        except NoRoomForIt as reason:
            return NoRoom(number, one_line(str(reason)))
        except OSError as error:
            return SpawnFailed(number, one_line(str(error)))
        self._child = child
        self._around.roster.add(self.spec.name, child.pid)
        self._have_watched(tasks, self._await_exit(number, child))
        self._have_watched(tasks, self._watch(number, child))
        self._have_watched(tasks, self._follow_family())
        return Spawned(number, child.pid)

    def _have_watched(self, tasks: asyncio.TaskGroup, watching: Coroutine[None, None, None]) -> None:
        watcher = tasks.create_task(watching)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _await_exit(self, number: int, child: Child) -> None:
        code = await child.exited()
        self._events.put_nowait(Exited(number, code, self._log.last_line))

    async def _watch(self, number: int, child: Child) -> None:
        probe = EngineProbe(child.url, self._around.http, self._launcher.policy.answer_limit)
        progress = Progress()
        while True:
            before, verdict = self._metrics, await probe.health()
            if verdict.ok and self._process.state.serving:
                self._metrics = await probe.metrics()
                self._around.changed()
            else:
                self._metrics = None
            now = asyncio.get_running_loop().time()
            progress = progress.seen(self._metrics, now, self._in_flight)
            self._events.put_nowait(self._judged(number, verdict, progress, now))
            # What it said a moment ago and does not say any more is as good a reason for a close look as a failure.
            calm = self._process.state is EngineState.UP and (before is None or self._metrics is not None)
            progress = progress.excused(await pause(_WATCH_S if calm else _WATCH_CLOSELY_S))

    def _judged(self, number: int, verdict: Verdict, progress: Progress, now: float) -> Event:
        if not verdict.ok:
            return HealthFailed(number, verdict.why)
        match progress.gait(now, self._launcher.policy):
            case Gait.WELL:
                return HealthOk(number)
            case Gait.QUIET:
                return Quiet(number)
            case Gait.STILL:
                return Stalled(number, progress.stood_still(now))

    async def _follow_family(self) -> None:
        while True:
            self._look_at_family()
            await asyncio.sleep(_FAMILY_S)

    def _look_at_family(self) -> None:
        """Whoever leaves the engine's session can be found only now, while its parent lives."""
        if self._child is not None:
            self._family = family(self._child.pid, self._family)
            self._around.roster.see(self.spec.name, self._family)

    async def _try_canary(self, number: int, child: Child) -> None:
        verdict = await EngineProbe(child.url, self._around.http).canary(self._launcher.canary(self.spec))
        self._capabilities = verdict.capabilities or self._capabilities
        self._events.put_nowait(CanaryOk(number) if verdict.ok else CanaryFailed(number, verdict.why))

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    async def _sweep(self, number: int) -> Event | None:
        child, self._child = self._child, None
        if child is None:
            return None
        self._dismiss_watchers()
        self._metrics = None
        left = await sweep(child.pid, _SWEEP_S, self._family)
        self._family = ()
        child.close()
        if left:
            return Unkillable(number, left)
        self._around.roster.drop(self.spec.name)
        return None

    def _dismiss_watchers(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()

    async def _abandon(self) -> None:
        # Only after a cancellation or a defect is there still a child: it must not outlive its supervisor.
        child, self._child = self._child, None
        if child is not None:
            if not await sweep(child.pid, _SWEEP_S, self._family):
                await child.exited()
                self._around.roster.drop(self.spec.name)
            child.close()
        self._log.close()
