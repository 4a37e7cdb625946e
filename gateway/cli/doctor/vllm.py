"""Engines of kind vllm: whether their program is there, what it is, and whether it finds a model, a GPU and memory."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, structs

from gateway.app.engines import EngineFailure, at_work, vllm_spec
from gateway.cli.doctor.finding import Finding, broken, note, ok, warning
from gateway.config.environment import Environ
from gateway.config.schema import Config, Engine
from local_models.gpuwatch import gpus
from local_models.preflight import Shortage
from local_models.vllm import QUEUE_FLAGS_SINCE, Build, Vllm
from local_models.vllm_memory import shortage

# Before, it was told by another flag what it is for.
_RUNNER_SINCE = (0, 10)


class Facts(Struct, frozen=True, kw_only=True):
    """One engine. `program` is what is run for it, `runs` whether that can be. `build` is what it says it is, None
    where there is no vLLM in it. `folder` is the model's that is not there; `short` says why there is no memory for it,
    and `no_gpu` why there is no GPU, where it needs one. Of one that is at work neither is asked.
    """

    engine: str
    program: str
    runs: bool = True
    build: Build | None = None
    pooling: bool = False
    folder: str | None = None
    running: bool = False
    short: Shortage | None = None
    no_gpu: str | None = None


def gather(config: Config, home: Path, environ: Environ) -> tuple[Facts, ...]:
    """Look at each. Starts its program, which says its version and ends."""
    engines = {name: each for name, each in config.engines.items() if each.kind == "vllm"}
    if not engines:
        return ()
    try:
        running = asyncio.run(at_work(home))
    except EngineFailure:
        running = frozenset()
    return tuple(_look(name, engine, environ, running=name in running) for name, engine in engines.items())


def findings(facts: tuple[Facts, ...]) -> Iterator[Finding]:
    """What keeps each from running, and what is to be done about it."""
    for each in facts:
        yield from _of(each)


def _look(name: str, engine: Engine, environ: Environ, *, running: bool) -> Facts:
    program = engine.python or engine.command[0]
    seen = Facts(engine=name, program=program, pooling=engine.runner == "pooling", running=running)
    path = shutil.which(str(Path(program).expanduser()), path=environ.get("PATH"))
    if path is None:
        return _with(seen, runs=False)
    model = Path(engine.model or "").expanduser()
    if (engine.model or "").startswith(("/", ".", "~")) and not model.exists():
        seen = _with(seen, folder=str(model.absolute()))
        engine = engine.model_copy(update={"model": "anything"})
    spec = vllm_spec(name, engine)
    try:
        build = asyncio.run(Vllm().build(spec))
    except OSError:
        return _with(seen, runs=False)
    if build is None or build.device is None or running:
        return _with(seen, build=build)
    none = gpus() if build.device == "gpu" else None
    if none is not None and not none.visible:
        return _with(seen, build=build, no_gpu=none.reason or "CUDA_VISIBLE_DEVICES leaves it none")
    return _with(seen, build=build, short=shortage(spec, environ, build.device))


def _of(facts: Facts) -> Iterator[Finding]:
    name = facts.engine
    if not facts.runs:
        yield broken("vllm", f"engine {name}: {facts.program} is no program that can be run", _install(name))
    elif facts.build is None:
        yield broken("vllm", f"engine {name}: there is no vLLM in {facts.program}", _install(name))
    else:
        yield from _build(facts, facts.build)
    if facts.folder is not None:
        mend = f"put the model there, or correct engines.{name}.model"
        yield broken("model", f"engine {name}: there is no model at {facts.folder}", mend)
    if facts.running:
        yield note("vllm", f"engine {name} is at work: the memory that it needs is its own already")
    if facts.no_gpu is not None:
        yield broken(
            "vllm",
            f"engine {name}: its vLLM is built for GPUs, and {facts.no_gpu}",
            f"mend the GPU's driver (`nvidia-smi` must list it), or install vLLM's build for CPUs and name it in "
            f"engines.{name}.python",
        )
    if facts.short is not None:
        yield broken("memory", f"engine {name}: {facts.short.what}", facts.short.mend)


def _build(facts: Facts, build: Build) -> Iterator[Finding]:
    name, version = facts.engine, ".".join(map(str, build.version))
    has = f"engine {name}: vLLM {version}{f' ({build.variant})' if build.variant else ''}"
    upgrade = f"`{facts.program} -m pip install --upgrade vllm`, or name a newer one in engines.{name}"
    if facts.pooling and build.version < _RUNNER_SINCE:
        yield broken("vllm", f"{has} does not know --runner pooling", upgrade)
    elif build.version < QUEUE_FLAGS_SINCE:
        since = ".".join(map(str, QUEUE_FLAGS_SINCE))
        yield warning("vllm", f"{has} cannot limit its own queue; versions since {since} can", upgrade)
    else:
        yield ok("vllm", has)


def _install(engine: str) -> str:
    return (
        "install vLLM into an environment of its own (`python3 -m venv /opt/vllm && /opt/vllm/bin/pip install vllm`), "
        f"and name its interpreter in engines.{engine}.python"
    )


def _with(facts: Facts, **fields: object) -> Facts:
    return structs.replace(facts, **fields)
