"""Measuring the confidence floors of backends, without a command line.

    refuse what cannot be measured ► find the engines at work, or have them run ► ask, as the gateway asks
    ► read the evidence, as the gateway reads it ► floors by band

Nothing is kept here: whoever measures writes the result down with `calibrations.keep`, or does not.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

from gateway.app import nouns
from gateway.app.backends import Surroundings, connected, nowhere
from gateway.app.calibration_run import BandFloors, CannotCalibrate, Plan, measure
from gateway.app.calibrations import default_temperature, model_of
from gateway.app.engines import Engines, engine_specs, unheard
from gateway.app.trust import Trust
from gateway.confidence import Floors
from gateway.confidence.evidence import Band
from gateway.config.schema import Config, Engine
from gateway.gate import Gate
from gateway.types import Capability, EngineView

_PROMPTS = "easy_prompts.txt"
_UP_WITHIN_S = 600.0
_AT_ONCE_ELSEWHERE = 4

Report = Callable[[str, int, int | None], None]
"""Called with what is going on, how much of it is done, and how much there is (None while nobody knows)."""


class Calibrated(Struct, frozen=True, kw_only=True):
    """What was measured of one backend."""

    backend: str
    model: str
    bands: tuple[BandFloors, ...]

    @property
    def answers(self) -> int:
        """How many there were, over all bands."""
        return sum(each.answers for each in self.bands)

    @property
    def floors(self) -> dict[Band, Floors]:
        """The floors by band."""
        return {each.band: each.floors for each in self.bands}


def easy_prompts() -> tuple[str, ...]:
    """The built-in prompts: what a light model should answer well, in English."""
    return prompts_in(files("gateway.app").joinpath(_PROMPTS).read_text("utf-8"))


def prompts_in(text: str) -> tuple[str, ...]:
    """One prompt a line; empty lines are none."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def refuse_unmeasurable(config: Config, name: str) -> None:
    """Raise CannotCalibrate for a backend whose floors cannot be measured, or could be taken for another model's."""
    backend, spec = config.backends[name], nouns.backend_specs(config)[name]
    if spec.vectors is not None:
        raise CannotCalibrate(f"backend {name} gives vectors, which nobody scores: there is nothing to calibrate")
    if Capability.LOGPROBS not in spec.capabilities:
        raise CannotCalibrate(
            f"backend {name} gives no log-probabilities, by its `capabilities`: its answers are scored by structure "
            "and text alone, and there is nothing to calibrate"
        )
    if not model_of(config, backend):
        raise CannotCalibrate(
            f"backend {name}: its engine {backend.engine} names no model, so that the floors would go on counting for "
            f"whatever is served there next; name it in engines.{backend.engine}.model"
        )


async def calibrate(
    config: Config, home: Path, names: Sequence[str], prompts: tuple[str, ...], samples: int, report: Report
) -> tuple[Calibrated, ...]:
    """Measure these backends, one after the other: `samples` answers a band, or fewer where they would repeat.

    Engines that run already are used and left as they are; others run only as long as this does. Raises
    CannotCalibrate or EngineFailure.
    """
    for name in names:
        refuse_unmeasurable(config, name)
    async with _engines_of(config, home, names) as engines:
        return tuple([await _calibrated(config, name, engines, prompts, samples, report) for name in names])


async def _calibrated(
    config: Config, name: str, engines: "_InUse", prompts: tuple[str, ...], samples: int, report: Report
) -> Calibrated:
    section = config.backends[name]
    plan = Plan(
        prompts=prompts,
        samples=samples,
        at_once=_AT_ONCE_ELSEWHERE if section.engine is None else await engines.ready(section.engine, report),
        default_temperature=default_temperature(section),
        window_tokens=config.confidence.probation.tokens,
        max_tokens=section.params.defaults.get("max_tokens"),
    )
    facts = partial(nouns.backend_specs(config).__getitem__, name)
    backend, client = connected(facts, Surroundings(config, engines.view), Trust(config).context(name))
    try:
        bands = await measure(backend, plan, partial(report, f"asking {name}"))
    finally:
        await client.close()
    return Calibrated(backend=name, model=model_of(config, section), bands=bands)


class _InUse:
    """The engines to ask; `engines` is None where all backends are providers. `shared`: a gateway asks them too."""

    def __init__(self, config: Config, engines: Engines | None, *, shared: bool) -> None:
        self._config = config
        self._engines = engines
        self._shared = shared

    def view(self, name: str) -> EngineView | None:
        """The engine at this moment."""
        return nowhere(name) if self._engines is None else self._engines.view(name)

    async def ready(self, name: str, report: Report) -> int:
        """Wait until it takes requests; how many to send at a time: half of what it can where others send too."""
        assert self._engines is not None
        report(f"starting engine {name}", 0, 1)
        await self._engines.settled(name, _UP_WITHIN_S)
        report(f"starting engine {name}", 1, 1)
        slots = self._config.engines[name].parallel
        return max(1, slots // 2) if self._shared else slots


@asynccontextmanager
async def _engines_of(config: Config, home: Path, names: Sequence[str]) -> AsyncIterator[_InUse]:
    """The engines of these backends, and only those.

    To have them run where a gateway is at work would stop whatever else it has running: then its own are used.
    """
    needed = {name: config.engines[name] for each in names if (name := config.backends[each].engine) is not None}
    if not needed:
        yield _InUse(config, None, shared=False)
        return
    # Whoever follows engines tells a gate and others of them; here is nobody to be told.
    gate = Gate({}, nouns.gate_settings(config))
    engines = await Engines.at_work(home, gate, unheard)
    if engines is not None:
        try:
            _refuse_others(home, needed, engines)
            yield _InUse(config, engines, shared=True)
        finally:
            await engines.close(stop=False)
        return
    specs = engine_specs(config.model_copy(update={"engines": needed}), home)
    engines = await Engines.start(specs, home, gate, unheard, keep=False)
    try:
        yield _InUse(config, engines, shared=False)
    finally:
        await engines.leave()


def _refuse_others(home: Path, needed: Mapping[str, Engine], engines: Engines) -> None:
    running = engines.snapshots()
    for name, engine in needed.items():
        if name not in running or running[name].model != engine.model:
            there = ", ".join(f"{each.name} ({each.model or 'as served'})" for each in running.values())
            raise CannotCalibrate(
                f"engines of another configuration run under {home}: {there}; but no {name} ({engine.model}). "
                "Name their configuration with --config, or stop their gateway first"
            )
