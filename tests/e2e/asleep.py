"""Processes that stand still for a while, as on a laptop that is shut or a machine that is paused."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psutil


@asynccontextmanager
async def asleep(processes: Sequence[psutil.Process], seconds: float) -> AsyncIterator[None]:
    """They stand still for so long at least."""
    awake = asyncio.Event()
    try:
        for process in processes:
            process.suspend()
        asyncio.get_running_loop().call_later(seconds, awake.set)
        yield
        await awake.wait()
    finally:
        for process in processes:
            process.resume()
