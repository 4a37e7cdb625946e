"""A client's connection to the engine host, which is started when there is none."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final, Self

from local_models.endpoint import find_socket, host_log_path
from local_models.environment import inheritable_by_host
from local_models.errors import HostError, HostUnavailable
from local_models.logs import one_line
from local_models.protocol import (
    HOST_BUSY,
    LINE_LIMIT,
    VERSION,
    Bye,
    FromClient,
    FromHost,
    Hello,
    Refused,
    Stop,
    Stopped,
    Welcome,
    decode_from_host,
    encode,
)

_GREETING_S: Final = 5.0
_START_S: Final = 30.0
# A host that is ending still holds the lock while it stops its engines, each with SIGTERM and 10 s of grace.
_REACH_S: Final = 45.0
_BUSY_S: Final = 0.3
_STOP_S: Final = 40.0


class HostLink:
    """An open connection; hello has been said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.version = VERSION

    @classmethod
    async def connect(cls, home: Path) -> Self:
        """Raises OSError when nobody listens, HostError when what listens does not behave."""
        path = find_socket(home)
        reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_LIMIT)
        link = cls(reader, writer)
        try:
            await link.send(Hello(VERSION))
            while not isinstance(answer := await link.receive(_GREETING_S), Welcome):
                pass
            link.version = answer.version
        except BaseException:
            link.close()
            raise
        return link

    async def send(self, message: FromClient) -> None:
        """Raises OSError when the host has gone."""
        self._writer.write(encode(message))
        await self._writer.drain()

    async def receive(self, limit: float) -> FromHost:
        """The next message. Raises HostError when it is a refusal, or none comes for `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                line = await self._reader.readline()
        except TimeoutError as error:
            raise HostError(f"the engine host has said nothing for {limit:.0f} s") from error
        except ValueError as error:
            raise HostError("the engine host said a line without end") from error
        message = decode_from_host(line)
        if isinstance(message, Refused):
            raise HostError(f"the engine host refuses: {message.reason}")
        return message

    async def stop_engines(self) -> None:
        """Have all engines stopped, and the host too once nobody else needs it."""
        await self.send(Stop("all"))
        async with asyncio.timeout(_STOP_S):
            while not isinstance(await self.receive(_STOP_S), Stopped):
                pass
        await self.send(Bye())

    async def take_leave(self) -> None:
        """Leave for good; returns when the host has gone on with its other clients, or has stopped its engines."""
        await self.send(Bye())
        async with asyncio.timeout(_STOP_S):
            while not self._reader.at_eof():
                await self._reader.readline()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def reach_host(home: Path, command: tuple[str, ...] | None) -> HostLink:
    """Connect to the host of this home, starting one (by `command`) when there is none.

    Raises HostUnavailable.
    """
    try:
        async with asyncio.timeout(_REACH_S):
            while True:
                if (link := await _try_to_reach(home, command)) is not None:
                    return link
    except TimeoutError as error:
        raise HostUnavailable(
            f"the engine host for {home} is at work but has not answered for {_REACH_S:.0f} s: "
            f"look into {host_log_path(home)}, or end it"
        ) from error


async def _try_to_reach(home: Path, command: tuple[str, ...] | None) -> HostLink | None:
    try:
        link = await HostLink.connect(home)
    except (OSError, HostError):
        await _start_host(home, command)
        return None
    if link.version == VERSION:
        return link
    # Another version of Forebay left it: its engines cannot be taken over, only ended.
    with suppress(OSError, HostError):
        await link.stop_engines()
    link.close()
    return None


async def _start_host(home: Path, command: tuple[str, ...] | None) -> None:
    # -P: a file in the folder where Forebay was started must not stand in for a module of ours.
    program = command or (sys.executable, "-P", "-m", "local_models.host")
    # A file and no pipe: the end of a pipe comes when its last copy is closed, and the host lives on.
    with TemporaryFile() as complaints:
        starting = await asyncio.create_subprocess_exec(
            *program,
            "--home",
            str(home),
            "--detach",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=complaints,
            env=inheritable_by_host(os.environ),
        )
        try:
            async with asyncio.timeout(_START_S):
                status = await starting.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                starting.kill()
            await starting.wait()
            raise
        complaints.seek(0)
        said = [line for line in complaints.read().decode(errors="replace").splitlines() if line.strip()]
    if status == HOST_BUSY:
        await asyncio.sleep(_BUSY_S)
    elif status != 0:
        why = one_line(said[-1]) if said else f"exit code {status}"
        raise HostUnavailable(f"the engine host did not start: {why} (its log: {host_log_path(home)})")
