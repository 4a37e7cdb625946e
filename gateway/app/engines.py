"""Engines: from the configuration to what the engine host runs, and from its snapshots to what the gate sees."""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.app.nouns import capable
from gateway.app.trust import certificates
from gateway.config.schema import Config, Engine
from gateway.errors import ForebayError
from gateway.gate import Gate
from gateway.types import Capability, EngineView, Replica
from local_models.catalog import resolve
from local_models.client import EngineHost, EngineMetrics, EngineSnapshot, EngineSpec, EngineState
from local_models.errors import LocalModelsError
from local_models.modelfile import check_file

_TELL_S: Final = 1.0
_NEWS_S: Final = 1.0

Hear = Callable[[EngineView], None]
"""Hears of an engine."""


HearHung = Callable[[str], None]
"""Hears of an address from which nothing more comes."""


def unheard(_what: object) -> None:
    """Nobody is to be told."""


class EngineFailure(ForebayError):
    """A model is missing, or the engine host cannot be used; the message says what to do."""


def engine_specs(config: Config, home: Path) -> list[EngineSpec]:
    """What the engine host is to run. Raises EngineFailure when a model is not on this box, or not a whole one."""
    try:
        return [_spec(name, engine, home) for name, engine in config.engines.items()]
    except LocalModelsError as error:
        raise EngineFailure(str(error)) from error


async def learnt(home: Path) -> dict[str, frozenset[Capability]]:
    """What the engines that are at work say they can do; nothing where none is. Raises EngineFailure."""
    try:
        host = await EngineHost.watch(home)
    except LocalModelsError as error:
        raise EngineFailure(str(error)) from error
    if host is None:
        return {}
    views = [_view(snapshot) for snapshot in host.snapshots().values()]
    await host.close(stop=False)
    return {view.name: view.capabilities for view in views if view.capabilities is not None}


async def at_work(home: Path) -> frozenset[str]:
    """The engines that have a process at present. Raises EngineFailure."""
    try:
        host = await EngineHost.watch(home)
    except LocalModelsError as error:
        raise EngineFailure(str(error)) from error
    if host is None:
        return frozenset()
    found = frozenset(name for name, snapshot in host.snapshots().items() if snapshot.pid is not None)
    await host.close(stop=False)
    return found


class Engines:
    """Follows the engine host: the latest view of every engine, the gate told of each change, and `came_up` of each
    engine that is ready (again): what was held against it before was another process, or has passed, and what it can
    do is to be read anew. `hung` is told of each address from which nothing more comes: who waits for
    it waits in vain. And the host is told what is in flight.
    """

    def __init__(self, host: EngineHost, gate: Gate, came_up: Hear, hung: HearHung = unheard) -> None:
        self._host = host
        self._gate = gate
        self._came_up = came_up
        self._hung = hung
        self._views: dict[str, EngineView] = {}
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @classmethod
    async def start(
        cls, specs: list[EngineSpec], home: Path, gate: Gate, came_up: Hear, hung: HearHung = unheard, *, keep: bool
    ) -> "Engines":
        """Have the engines run and follow them; returns before they are up. Raises EngineFailure."""
        try:
            host = await EngineHost.attach(home, specs, keep=keep)
        except (LocalModelsError, OSError) as error:
            raise EngineFailure(str(error)) from error
        return cls._following(host, gate, came_up, hung)

    @classmethod
    async def at_work(cls, home: Path, gate: Gate, came_up: Hear) -> "Engines | None":
        """Follow the engines that run already, changing nothing; None where none does. Raises EngineFailure."""
        try:
            host = await EngineHost.watch(home)
        except LocalModelsError as error:
            raise EngineFailure(str(error)) from error
        if host is None:
            return None
        if all(snapshot.state is EngineState.STOPPED for snapshot in host.snapshots().values()):
            await host.close(stop=False)
            return None
        return cls._following(host, gate, came_up)

    @classmethod
    def _following(cls, host: EngineHost, gate: Gate, came_up: Hear, hung: HearHung = unheard) -> "Engines":
        engines = cls(host, gate, came_up, hung)
        engines._take(host.snapshots())
        engines._tasks = (asyncio.create_task(engines._follow()), asyncio.create_task(engines._tell()))
        return engines

    def view(self, name: str) -> EngineView | None:
        """The engine at this moment."""
        return self._views.get(name)

    def snapshots(self) -> Mapping[str, EngineSnapshot]:
        """What the host says of each engine."""
        return self._host.snapshots()

    async def settled(self, name: str, patience_s: float) -> EngineSnapshot:
        """Wait until an engine is up. Raises EngineFailure with the reason when it does not come up."""
        try:
            return await self._host.wait_up(name, patience_s)
        except LocalModelsError as error:
            raise EngineFailure(str(error)) from error

    async def close(self, *, stop: bool) -> None:
        """Stop following, and with `stop` the engines too."""
        await self._unfollow()
        await self._host.close(stop=stop)

    async def leave(self) -> None:
        """Stop following; engines that nobody else uses end."""
        await self._unfollow()
        await self._host.leave()

    async def _unfollow(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_NEWS_S):
                    await self._host.changed()
            self._take(self._host.snapshots())
            # A host that is lost is said to be so by its snapshots: these are news even where nothing has changed.
            self._gate.heard()

    async def _tell(self) -> None:
        """Let the host know what is in flight: an engine that hangs may say that nothing runs."""
        told: dict[str, int] = {}
        while True:
            in_flight = self._gate.unanswered()
            if in_flight or told:
                await self._host.tell(in_flight)
            told = in_flight
            await asyncio.sleep(_TELL_S)

    def _take(self, snapshots: Mapping[str, EngineSnapshot]) -> None:
        for snapshot in snapshots.values():
            view, before = _view(snapshot), self._views.get(snapshot.name)
            if view == before:
                continue
            self._views[view.name] = view
            if view.ready and not (before is not None and before.ready and (before.url == view.url or view.replicas)):
                self._came_up(view)
            self._gate.update(view)
            # The gate is shut by now: who is sent away does not come back to the same engine.
            for url in hanging(view) - hanging(before):
                self._hung(url)


def _spec(name: str, engine: Engine, home: Path) -> EngineSpec:
    model = engine.model or ""
    if engine.kind == "attached":
        return EngineSpec(
            name=name,
            kind="attached",
            model=model,
            urls=engine.urls,
            ca=None if engine.ca is None else certificates(engine.ca, f"engines.{name}.ca"),
            parallel=engine.parallel,
            context=engine.context,
            runner=engine.runner,
        )
    if engine.kind == "vllm":
        return vllm_spec(name, engine)
    path = resolve(model, home)
    check_file(path)
    return EngineSpec(
        name=name,
        kind="llama_cpp",
        model=model,
        path=str(path),
        parallel=engine.parallel,
        context=engine.context,
        threads=engine.threads,
        runner=engine.runner,
        pooling=engine.pooling,
        args=() if engine.attention is None else ("--attention", engine.attention),
    )


def vllm_spec(name: str, engine: Engine) -> EngineSpec:
    """What the host is to run for a vLLM. Raises EngineFailure where its program or its model is not here."""
    model = engine.model or ""
    return EngineSpec(
        name=name,
        kind="vllm",
        model=model,
        path=_vllm_source(name, model),
        python=None if engine.python is None else _interpreter(name, engine.python),
        command=engine.command,
        parallel=engine.parallel,
        context=engine.context,
        runner=engine.runner,
        args=engine.args,
    )


def _vllm_source(name: str, model: str) -> str:
    """What vLLM is to load: a folder there is, or a name for it to look up."""
    if not model.startswith(("/", ".", "~")):
        return model.removeprefix("hf:")
    folder = Path(model).expanduser().absolute()
    if not folder.exists():
        raise EngineFailure(f"engine {name}: there is no model at {folder}: correct engines.{name}.model")
    return str(folder)


def _interpreter(name: str, written: str) -> str:
    python = Path(written).expanduser().absolute()
    if not os.access(python, os.X_OK):
        raise EngineFailure(
            f"engine {name}: {python} is no program: install vLLM into an environment of its own, "
            f"and name its interpreter in engines.{name}.python"
        )
    return str(python)


def _view(snapshot: EngineSnapshot) -> EngineView:
    state = snapshot.state
    return EngineView(
        name=snapshot.name,
        ready=state.serving and snapshot.url is not None,
        hung=snapshot.hung,
        given_up=state in (EngineState.QUARANTINE, EngineState.STOPPED),
        url=snapshot.url,
        detail=f"{state.value}: {snapshot.detail}" if snapshot.detail else state.value,
        model=snapshot.model,
        capabilities=None if snapshot.capabilities is None else capable(snapshot.capabilities),
        replicas=tuple(
            Replica(
                url=each.url,
                ready=each.state.serving,
                wavering=each.state is EngineState.DEGRADED,
                hung=each.hung,
                requests=_requests(each.metrics),
            )
            for each in snapshot.replicas
        ),
    )


def _requests(metrics: EngineMetrics | None) -> int | None:
    if metrics is None or metrics.running is None:
        return None
    return metrics.running + (metrics.waiting or 0)


def hanging(view: EngineView | None) -> frozenset[str]:
    """The addresses from which nothing more comes."""
    if view is None:
        return frozenset()
    whole = frozenset((view.url,)) if view.hung and view.url is not None else frozenset()
    return whole | {each.url for each in view.replicas if each.hung}
