"""The processes of a vLLM that a gateway runs, and the ways in which it is made to end."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil

from local_models.client import EngineHost, EngineSnapshot
from local_models.proctable import Identity, family, identify

ENGINE: Final = "small"
"""What it is called in the configuration of `tests.e2e.deaths`."""


def guard_of(home: Path) -> int:
    """The process that the host began: the guard, which leads the engine's session."""
    (engine,) = json.loads((home / "run" / "engines.json").read_bytes())["engines"]
    return int(engine["pid"])


def server_of(home: Path) -> psutil.Process:
    """vLLM's API server, the guard's one child."""
    (server,) = psutil.Process(guard_of(home)).children()
    return server


def core_of(home: Path) -> psutil.Process:
    """The engine core, whose worker holds the model."""
    (core,) = [each for each in server_of(home).children() if "EngineCore" in "".join(each.cmdline())]
    return core


def worker_of(home: Path) -> psutil.Process:
    """The process that holds the model."""
    return max(core_of(home).children(recursive=True), key=lambda process: process.memory_info().rss)


def words_of(home: Path) -> list[str]:
    """How it was started."""
    return psutil.Process(guard_of(home)).cmdline()


def log_of(home: Path, engine: str = ENGINE) -> str:
    """What it has printed."""
    log = home / "logs" / f"engine-{engine}.log"
    return log.read_text(errors="replace") if log.exists() else ""


def snapshot_of(home: Path) -> EngineSnapshot:
    """What its host says of it."""

    async def ask() -> EngineSnapshot:
        host = await EngineHost.watch(home)
        assert host is not None
        found = host.snapshots()[ENGINE]
        await host.close(stop=False)
        return found

    return asyncio.run(ask())


def members_of(home: Path) -> tuple[Identity, ...]:
    """All of its processes, the guard among them."""
    return family(guard_of(home))


def left_of(members: tuple[Identity, ...]) -> list[int]:
    """Those that live still: whoever is gone holds no memory."""
    return [member.pid for member in members if identify(member.pid) == member]


def memory_mb(home: Path) -> float:
    """What all of it holds."""
    return sum(psutil.Process(member.pid).memory_info().rss for member in members_of(home)) / 2**20


WAYS: Final[Mapping[str, Callable[[Path], None]]] = MappingProxyType(
    {
        "kill -9 of the API server": lambda home: server_of(home).kill(),
        "kill -9 of the engine core": lambda home: core_of(home).kill(),
        "kill -9 of the worker": lambda home: worker_of(home).kill(),
        "exit code 0": lambda home: server_of(home).terminate(),
        "SIGSTOP of the API server": lambda home: server_of(home).suspend(),
        "SIGSTOP of the engine core": lambda home: core_of(home).suspend(),
    }
)
"""How vLLM is made to end, or to hang."""
