"""A client in front of a server that follows a script."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.backends.chat import ChatClient, Deadlines
from tests.gateway.backends.raw_server import Caller, RawServer, Script

DEADLINES = Deadlines(connect_s=5.0, first_token_s=5.0, idle_s=5.0, total_s=5.0)
BODY = {"model": "m", "messages": []}


@asynccontextmanager
async def calling(
    script: Script, deadlines: Deadlines = DEADLINES, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[RawServer, ChatClient]]:
    """A server that follows `script`, and a client of it."""
    async with RawServer(script).running() as server:
        client = ChatClient("mini", deadlines, headers or {})
        try:
            yield server, client
        finally:
            await client.close()


def sends(*pieces: bytes) -> Script:
    """A script that sends these bytes and keeps the connection."""

    async def script(caller: Caller) -> None:
        await caller.send(*pieces)

    return script


async def silent(caller: Caller) -> None:
    """Say nothing until the other side hangs up."""
    await caller.hung_up()


def later(seconds: float = 60.0) -> float:
    """A deadline."""
    return asyncio.get_running_loop().time() + seconds
