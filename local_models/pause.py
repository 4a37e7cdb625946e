"""Waiting, by somebody who may be made to wait for longer."""

import asyncio


async def pause(seconds: float) -> float:
    """Wait for so long; returns by how much longer it took, as on a machine that slept, in seconds."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    await asyncio.sleep(seconds)
    return max(0.0, clock() - until)
