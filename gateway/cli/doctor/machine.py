"""The box: its CPUs, its memory, its GPUs and their driver."""

import platform
from collections.abc import Iterator

from msgspec import Struct

from gateway.cli.doctor.finding import Finding, broken, note, ok, warning
from gateway.cli.modellist import size
from local_models.hardware import GpuSurvey, Memory, cpu_count, gpus, memory, nvidia_cards

_DRIVER = (
    "install NVIDIA's driver and restart the box (Ubuntu: `sudo ubuntu-drivers install`); in a container, start it "
    "with `--gpus all` and NVIDIA's container toolkit on the host; `nvidia-smi` must then list the GPU"
)


class Facts(Struct, frozen=True, kw_only=True):
    """`gpu_wanted` says why a GPU is needed, empty where nothing tells that one is. `models` is bytes of all models."""

    cpus: int
    architecture: str
    memory: Memory
    gpus: GpuSurvey
    cards: int
    gpu_wanted: str = ""
    models: int = 0


def gather(*, gpu_wanted: str, models: int) -> Facts:
    """Look at this box."""
    return Facts(
        cpus=cpu_count(),
        architecture=platform.machine(),
        memory=memory(),
        gpus=gpus(),
        cards=nvidia_cards(),
        gpu_wanted=gpu_wanted,
        models=models,
    )


def findings(facts: Facts) -> Iterator[Finding]:
    """What it has, and what it lacks."""
    yield ok("cpu", f"CPUs: {facts.cpus}, {facts.architecture}")
    yield _memory(facts)
    yield from _gpu(facts)


def _memory(facts: Facts) -> Finding:
    total, available = facts.memory.total, facts.memory.available
    if total is None:
        return note("memory", "how much there is cannot be told on this system")
    has = f"{size(total)}, {'?' if available is None else size(available)} of it available"
    if facts.models > total:
        return warning(
            "memory",
            f"the models of the engines take {size(facts.models)}, and there are {has}",
            "name smaller models in `engines`, or give the box or the container more memory",
        )
    return ok("memory", has)


def _gpu(facts: Facts) -> Iterator[Finding]:
    survey = facts.gpus
    for gpu in survey.gpus:
        has = "" if gpu.memory_total is None else f", {size(gpu.memory_total)}"
        yield ok("gpu", f"GPU {gpu.index}: {gpu.name}{has}, driver {survey.driver or '?'}")
    if survey.gpus and survey.reason:
        yield warning("gpu", survey.reason, "restart the box; if it stays away, `nvidia-smi -q` says more")
    if survey.gpus:
        return
    if facts.gpu_wanted:
        yield broken("gpu", f"{survey.reason}, and {facts.gpu_wanted}", _DRIVER)
    elif facts.cards:
        yield warning("gpu", f"NVIDIA cards in this box: {facts.cards}; {survey.reason}", _DRIVER)
    else:
        yield note("gpu", f"{survey.reason}; nothing here needs one")
