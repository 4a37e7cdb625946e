"""The engine host's side of its socket: carries out what clients ask, tells them what changes, and knows when
nobody needs the host any more.
"""

import asyncio
from collections import Counter
from typing import Final

from local_models.errors import HostError
from local_models.fleet import Fleet
from local_models.protocol import (
    VERSION,
    Bye,
    Ensure,
    Ensured,
    FromClient,
    FromHost,
    Hello,
    InFlight,
    Refused,
    Snapshots,
    Stop,
    Stopped,
    Welcome,
    decode_from_client,
    encode,
)

_PUSH_S: Final = 1.0
_GREETING_S: Final = 5.0
# A client that does not read (stopped, or swapped out) is told no more until it does.
_BACKLOG: Final = 1 << 20


class Reception:
    """All clients of a host."""

    def __init__(self, fleet: Fleet, linger: float, changed: asyncio.Event, pid: int) -> None:
        self._fleet = fleet
        self._linger = linger
        self._changed = changed
        self._pid = pid
        self._keep = False
        self._present = 0
        self._greeted: set[asyncio.StreamWriter] = set()
        self._farewells: set[asyncio.StreamWriter] = set()
        self._in_flight: dict[asyncio.StreamWriter, Counter[str]] = {}
        self._arrived = asyncio.Event()
        self._deserted = asyncio.Event()
        self._deserted.set()
        self._patience: float | None = linger

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its first line to its end."""
        self._present += 1
        self._let_go()
        self._deserted.clear()
        self._arrived.set()
        left_for_good = False
        try:
            left_for_good = await self._converse(reader, writer)
        except (HostError, ValueError, OSError) as error:  # ValueError: a line without end
            _send(writer, Refused(str(error) or "no hello in time"))
        finally:
            self._present -= 1
            self._greeted.discard(writer)
            self._count(writer, {})
            self._part(for_good=left_for_good)
            if left_for_good and self._patience == 0.0 and not self._present:
                # With it goes the host; it hears the line go dead when the engines are gone.
                self._farewells.add(writer)
            else:
                writer.close()

    async def push(self) -> None:
        """Tell every client what there is, at each change and at least each second."""
        while True:
            self._changed.clear()
            self._tell(self._greeted)
            try:
                async with asyncio.timeout(_PUSH_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def unneeded(self) -> None:
        """Return once no client is left and none has come back in the time agreed."""
        while True:
            await self._deserted.wait()
            try:
                async with asyncio.timeout(self._patience):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def close(self) -> None:
        """Tell everybody the last state, and hang up."""
        self._tell(self._greeted)
        for writer in self._greeted:
            writer.close()
        self._let_go()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the client took its leave."""
        async with asyncio.timeout(_GREETING_S):
            hello = decode_from_client(await reader.readline())
        if not isinstance(hello, Hello):
            raise HostError("the first line must be a hello")
        _send(writer, Welcome(VERSION, self._pid))
        self._tell({writer})
        self._greeted.add(writer)
        while line := await reader.readline():
            message = decode_from_client(line)
            if isinstance(message, Bye):
                return True
            await self._carry_out(message, writer)
        return False

    async def _carry_out(self, message: FromClient, writer: asyncio.StreamWriter) -> None:
        match message:
            case Ensure(specs=specs, keep=keep):
                self._keep = keep
                await self._fleet.ensure(specs)
                self._tell({writer})
                _send(writer, Ensured())
            case Stop(names=names):
                await self._fleet.stop(None if names == "all" else names)
                self._tell({writer})
                _send(writer, Stopped())
            case InFlight(engines=engines):
                self._count(writer, engines)
            case _:
                raise HostError(f"unexpected here: {type(message).__name__.lower()}")

    def _count(self, writer: asyncio.StreamWriter, engines: dict[str, int]) -> None:
        """What one client has in flight, beside what the others have."""
        self._in_flight.pop(writer, None)
        if engines:
            self._in_flight[writer] = Counter(engines)
        self._fleet.sent(sum(self._in_flight.values(), Counter[str]()))

    def _let_go(self) -> None:
        while self._farewells:
            self._farewells.pop().close()

    def _part(self, *, for_good: bool) -> None:
        if self._present:
            return
        if not self._fleet.at_work:
            self._patience = 0.0
        elif self._keep:
            self._patience = None
        else:
            self._patience = 0.0 if for_good else self._linger
        self._arrived.clear()
        self._deserted.set()

    def _tell(self, writers: set[asyncio.StreamWriter]) -> None:
        message = Snapshots(self._fleet.snapshots())
        for writer in writers:
            if writer.transport.get_write_buffer_size() < _BACKLOG:
                _send(writer, message)


def _send(writer: asyncio.StreamWriter, message: FromHost) -> None:
    if not writer.is_closing():
        writer.write(encode(message))
