"""The box: its CPUs and its memory."""

import platform
from collections.abc import Iterator

from msgspec import Struct

from gateway.cli.doctor.finding import Finding, note, ok, warning
from gateway.cli.modellist import size
from local_models.hardware import Memory, cpu_count, memory


class Facts(Struct, frozen=True, kw_only=True):
    """`models` is bytes of all models."""

    cpus: int
    architecture: str
    memory: Memory
    models: int = 0


def gather(*, models: int) -> Facts:
    """Look at this box."""
    return Facts(
        cpus=cpu_count(),
        architecture=platform.machine(),
        memory=memory(),
        models=models,
    )


def findings(facts: Facts) -> Iterator[Finding]:
    """What it has, and what it lacks."""
    yield ok("cpu", f"CPUs: {facts.cpus}, {facts.architecture}")
    yield _memory(facts)


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
