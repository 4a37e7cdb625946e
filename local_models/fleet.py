"""The engines that a host runs: brought from what there is to what is wanted."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from local_models.attached import AttachedEngine
from local_models.errors import HostError
from local_models.launch import Launcher
from local_models.supervisor import EngineSupervisor, Surroundings
from local_models.types import EngineSnapshot, EngineSpec

Launchers = Mapping[str, Launcher]
"""How to launch each kind of engine that has a process."""


class Engine(Protocol):
    """Something that runs or watches one engine."""

    spec: EngineSpec

    def snapshot(self) -> EngineSnapshot: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def sent(self, in_flight: int) -> None: ...

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Running:
    engine: Engine
    task: asyncio.Task[None]


class Fleet:
    """All engines of a host. `tasks` is the group they run in: a defect in one ends the host, loudly."""

    def __init__(self, launchers: Launchers, around: Surroundings, tasks: asyncio.TaskGroup) -> None:
        self._launchers = launchers
        self._around = around
        self._tasks = tasks
        self._running: dict[str, _Running] = {}
        # Two clients may ask at the same time; one plan is carried out before the next.
        self._planning = asyncio.Lock()
        self._closing = False

    @property
    def at_work(self) -> bool:
        """Whether any engine is still wanted."""
        return any(not running.task.done() for running in self._running.values())

    def snapshots(self) -> tuple[EngineSnapshot, ...]:
        """All engines, in the order in which they were asked for."""
        return tuple(running.engine.snapshot() for running in self._running.values())

    async def ensure(self, specs: tuple[EngineSpec, ...]) -> None:
        """Exactly these engines run when this returns (or are on their way up). An engine whose spec is the same
        is left alone; one in quarantine is given another chance. Raises HostError for a kind it cannot launch.
        """
        wanted = {spec.name: spec for spec in specs}
        if len(wanted) < len(specs):
            raise HostError("two engines have the same name")
        for spec in specs:
            self._check(spec)
        async with self._planning:
            if self._closing:
                raise HostError("the engine host is ending")
            await self._drop([name for name, one in self._running.items() if one.engine.spec != wanted.get(name)])
            for spec in specs:
                if (running := self._running.get(spec.name)) is not None and not running.task.done():
                    running.engine.start()
                else:
                    self._begin(spec)
            # Their tasks take the first step, so that nobody is told of engines that were never started.
            await asyncio.sleep(0)

    async def stop(self, names: tuple[str, ...] | None) -> None:
        """Stop these engines, or all; returns when they are gone. They stay in the snapshots, as stopped."""
        async with self._planning:
            await self._end([name for name in self._running if names is None or name in names])

    def sent(self, in_flight: Mapping[str, int]) -> None:
        """So many requests are in flight to each engine; none to those that are not named."""
        for name, running in self._running.items():
            running.engine.sent(in_flight.get(name, 0))

    async def close(self) -> None:
        """Stop all engines and begin no more."""
        self._closing = True
        await self.stop(None)

    async def _drop(self, names: list[str]) -> None:
        await self._end(names)
        for name in names:
            del self._running[name]

    async def _end(self, names: list[str]) -> None:
        ending = [self._running[name] for name in names]
        for one in ending:
            one.engine.stop()
        if ending:
            await asyncio.wait([one.task for one in ending])

    def _begin(self, spec: EngineSpec) -> None:
        engine = self._make(spec)
        self._running[spec.name] = _Running(engine, self._tasks.create_task(engine.run()))
        self._around.changed()

    def _make(self, spec: EngineSpec) -> Engine:
        if spec.kind == "attached":
            return AttachedEngine(spec, self._around)
        return EngineSupervisor(spec, self._launchers[spec.kind], self._around)

    def _check(self, spec: EngineSpec) -> None:
        if spec.kind != "attached" and spec.kind not in self._launchers:
            known = ", ".join(sorted((*self._launchers, "attached")))
            raise HostError(f"engine {spec.name}: this host runs no kind {spec.kind!r}, only {known}")
