"""The real engine that gates are put in front of: local_models/llama in a process of its own, over HTTP."""

import asyncio
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
import uvloop

from local_models.hardware import cpu_count
from local_models.llama_cpp import LlamaCpp
from scripts.benchmarks.engine_servers import Settings, forebay_command
from scripts.benchmarks.gate_client import Client
from scripts.benchmarks.gate_world import Load, Policy, Served
from scripts.benchmarks.run_gateway import free_port, running

PARALLEL, CONTEXT = 8, 1024
_WAITING = "10000"
"""Whoever has no gate has the engine's queue, which is to refuse nobody."""
_LIMIT_S: Final = 600.0
"""A load that is not over by then has gone wrong."""


def _unheard(_share: float) -> None:
    """Listen to nothing."""


@contextmanager
def real_engine(model: pathlib.Path) -> Iterator[str]:
    """Its address, once it answers, until the block ends."""
    settings = Settings(model, cpu_count(), PARALLEL, CONTEXT)
    port, environ = free_port(), {**os.environ, **LlamaCpp().environment(os.environ)}
    command = [*forebay_command(settings, port), "--max-waiting", _WAITING]
    with tempfile.TemporaryDirectory(prefix="fb") as name:
        base = f"http://127.0.0.1:{port}"
        with running(command, f"{base}/health", pathlib.Path(name) / "log", environ):
            yield base


def play(base: str, load: Load, policy: Policy, seed: int, told: Callable[[float], None] = _unheard) -> list[Served]:
    """A policy under a load, in the time that it takes; `told` is which share of it is over. Raises TimeoutError."""

    async def client() -> list[Served]:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=600)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            asyncio.timeout(_LIMIT_S),
            aiohttp.ClientSession(base, timeout=timeout, connector=connector, trust_env=False) as session,
        ):
            return await Client(session, load, policy, seed).run(told)

    return uvloop.run(client())
