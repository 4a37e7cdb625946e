"""How engine processes are begun: the port for kinds of engine, and one child process."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from local_models.logs import EngineLog
from local_models.policy import Policy
from local_models.probe import Canary
from local_models.proctable import signal_group
from local_models.types import EngineSpec

_READ: Final = 1 << 16
_PIPE: Final = 1 << 18
_BACKLOG: Final = 1024


class NoRoomForIt(Exception):
    """There is not the memory that an engine needs; the message says how much is needed, and who holds it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine is to listen, on loopback."""

    port: int
    socket: int
    """Number of the listening socket, for kinds that take one."""


class Launcher(Protocol):
    """A kind of engine that is run as a child process."""

    @property
    def policy(self) -> Policy:
        """How patient to be with it."""
        ...

    @property
    def takes_socket(self) -> bool:
        """Whether it inherits a listening socket; otherwise it is told a port that was free a moment ago."""
        ...

    def environment(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Its environment, drawn from ours: what the operator has set there holds."""
        ...

    async def command(self, spec: EngineSpec, place: Place) -> tuple[str, ...]:
        """Its command line. Raises OSError, or NoRoomForIt."""
        ...

    def canary(self, spec: EngineSpec) -> Canary:
        """What it must answer before it is up."""
        ...


@dataclass(frozen=True, slots=True)
class Child:
    """A running engine process, leader of its own session and process group."""

    pid: int
    url: str
    _process: asyncio.subprocess.Process
    _output: int
    _log: EngineLog

    async def exited(self) -> int:
        """Wait for its end; the exit code, negative for a signal. All it printed is in the log then."""
        code = await self._process.wait()
        self._drain()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group."""
        signal_group(self.pid, number)

    def close(self) -> None:
        """Stop listening to what it prints."""
        asyncio.get_running_loop().remove_reader(self._output)
        os.close(self._output)

    def _drain(self) -> None:
        # What a dead process wrote fits into its pipe; a grandchild that lives on may write for ever.
        for _ in range(_PIPE // _READ):
            if output := _read(self._output):
                self._log.write(output)


async def launch(spec: EngineSpec, launcher: Launcher, log: EngineLog) -> Child:
    """Begin the engine's process. Raises OSError, or NoRoomForIt.

    The port is a fresh one each time: whoever still knows that of the last launch is refused instead of waiting. A
    kind that takes a socket finds it bound, so that nobody can come in between. Who loses its port crashes, and is
    given another; who has it instead does not list our model, and is not taken for ours.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        place = Place(listener.getsockname()[1], listener.fileno())
        words = await launcher.command(spec, place)
        if launcher.takes_socket:
            listener.listen(_BACKLOG)
        else:
            listener.close()
        reader, writer = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                pass_fds=(place.socket,) if launcher.takes_socket else (),
                env=dict(launcher.environment(os.environ)),
                start_new_session=True,
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
    os.set_blocking(reader, False)
    asyncio.get_running_loop().add_reader(reader, _pump, reader, log)
    return Child(process.pid, f"http://127.0.0.1:{place.port}", process, reader, log)


def _pump(descriptor: int, log: EngineLog) -> None:
    if output := _read(descriptor):
        log.write(output)
    elif output is not None:
        # All writers are gone; a reader at its end would be called for ever.
        asyncio.get_running_loop().remove_reader(descriptor)


def _read(descriptor: int) -> bytes | None:
    """Some output; empty at the end, None when there is nothing at present."""
    try:
        return os.read(descriptor, _READ)
    except BlockingIOError:
        return None
