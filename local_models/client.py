"""What the gateway and its commands use: the engine host as seen from outside.

async with await EngineHost.attach(home, specs) as engines:
    await engines.wait_up("small", timeout=60)
    engines.snapshots()["small"].url
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from msgspec import structs

from local_models.errors import EngineNotUp, HostError
from local_models.hostlink import HostLink, reach_host
from local_models.protocol import VERSION, Ensure, Ensured, FromHost, InFlight, Snapshots
from local_models.types import EngineMetrics, EngineSnapshot, EngineSpec, EngineState, Replica

__all__ = ["EngineHost", "EngineMetrics", "EngineSnapshot", "EngineSpec", "EngineState", "Replica"]

# The host speaks at least each second. Silence for longer means that it is stopped or starved.
_SILENCE_S: Final = 5.0
_ENSURE_S: Final = 60.0
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_LIMIT_S: Final = 5.0


class EngineHost:
    """Engines of this box, run by a host process that outlives its users.

    A host that is lost is attached to again, or started again, in the background; until then every engine is
    FENCED, with the reason. Use `attach` to make one.
    """

    def __init__(
        self, home: Path, specs: tuple[EngineSpec, ...] | None, command: tuple[str, ...] | None, *, keep: bool
    ) -> None:
        """`specs` None: follow what runs, and ask for nothing."""
        self._home = home.absolute()
        self._specs = specs
        self._command = command
        self._keep = keep
        self._snapshots: Mapping[str, EngineSnapshot] = MappingProxyType({})
        self._change = asyncio.Event()
        self._link: HostLink | None = None
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def attach(
        cls,
        home: Path,
        specs: Sequence[EngineSpec],
        *,
        keep: bool = False,
        command: tuple[str, ...] | None = None,
    ) -> Self:
        """Have exactly these engines run under this home and follow them. An engine that already runs with the
        same spec goes on as it is. With `keep` they stay for ever when the client goes without stopping them,
        otherwise for half a minute.

        `command` starts another host program. Raises HostUnavailable, or HostError when the host refuses.
        """
        engines = cls(home, tuple(specs), command, keep=keep)
        await engines._begin()
        return engines

    @classmethod
    async def watch(cls, home: Path) -> Self | None:
        """Follow the engines that run under this home already, without changing anything; None when there is no host.

        Raises HostError when the host is of another version, or does not behave.
        """
        engines = cls(home, None, None, keep=False)
        try:
            await engines._begin()
        except OSError:
            return None
        return engines

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the engines unless they are to be kept."""
        await self.close(stop=not self._keep)

    def snapshots(self) -> Mapping[str, EngineSnapshot]:
        """The latest that is known of each engine, by name. A new mapping at each change; never blocks."""
        return self._snapshots

    async def changed(self) -> None:
        """Wait for the next change of `snapshots()` after this call."""
        await self._change.wait()

    async def tell(self, in_flight: Mapping[str, int]) -> None:
        """Say how many requests are in flight to each engine: one that stands still may itself not know of them.

        To be said again when it has changed, and to a new host; nothing is said while there is none.
        """
        if self._link is not None:
            with suppress(OSError):  # it is attached to again in the background
                await self._link.send(InFlight(dict(in_flight)))

    async def wait_up(self, name: str, timeout: float) -> EngineSnapshot:  # noqa: ASYNC109 -- the error tells why
        """Wait until the engine takes requests. Raises EngineNotUp, at once when it has been given up."""
        try:
            async with asyncio.timeout(timeout):
                while not (latest := self._promising(name)).state.serving:
                    await self.changed()
                return latest
        except TimeoutError as error:
            latest = self._promising(name)
            raise EngineNotUp(f"engine {name} is {latest.state} after {timeout:.0f} s: {latest.detail}") from error

    async def close(self, *, stop: bool) -> None:
        """Stop following. With `stop` the engines are stopped first, and the host ends when nobody else uses it;
        otherwise everything goes on as `attach` says.
        """
        await self._unfollow()
        if self._link is not None:
            if stop:
                # A host that is lost takes its engines with it.
                with suppress(OSError, HostError):
                    await self._link.stop_engines()
            self._hang_up()

    async def leave(self) -> None:
        """Stop following for good. Engines that others use too go on; otherwise they and the host end, unless they are
        to be kept. Returns when that is done.
        """
        await self._unfollow()
        if self._link is not None:
            with suppress(OSError):  # a host that is lost takes its engines with it
                await self._link.take_leave()
            self._hang_up()

    async def _begin(self) -> None:
        await self._connect()
        self._following = asyncio.create_task(self._follow())

    def _promising(self, name: str) -> EngineSnapshot:
        latest = self._snapshots.get(name)
        if latest is None:
            raise EngineNotUp(f"no engine {name!r}; there are: {', '.join(self._snapshots) or 'none'}")
        if latest.state in (EngineState.QUARANTINE, EngineState.STOPPED):
            raise EngineNotUp(f"engine {name} is in state {latest.state}: {latest.detail}")
        return latest

    async def _connect(self) -> None:
        if self._specs is None:
            link = await self._reach_what_runs()
        else:
            link = await reach_host(self._home, self._command)
        try:
            if self._specs is not None:
                await link.send(Ensure(self._specs, self._keep))
            last = Ensured if self._specs is not None else Snapshots
            latest: tuple[EngineSnapshot, ...] = ()
            message: FromHost | None = None
            async with asyncio.timeout(_ENSURE_S):
                while not isinstance(message, last):
                    message = await link.receive(_SILENCE_S)
                    latest = message.engines if isinstance(message, Snapshots) else latest
        except BaseException:
            link.close()
            raise
        self._take(latest)
        self._link = link

    async def _reach_what_runs(self) -> HostLink:
        link = await HostLink.connect(self._home)
        if link.version != VERSION:
            link.close()
            raise HostError(f"engines of another version of Forebay run under {self._home}")
        return link

    async def _unfollow(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait((self._following,))
            self._following = None

    async def _follow(self) -> None:
        try:
            while True:
                try:
                    await self._listen()
                except (OSError, HostError) as error:
                    self._fence(f"{error}; attaching again")
                await self._attach_again()
        finally:
            # Whatever ends this, nobody may go on believing the last thing that was heard.
            self._fence("not followed any more")

    async def _listen(self) -> None:
        assert self._link is not None
        while True:
            message = await self._link.receive(_SILENCE_S)
            if isinstance(message, Snapshots):
                self._take(message.engines)

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _attach_again(self) -> None:
        self._hang_up()
        wait = _BACKOFF_FIRST_S
        while True:
            try:
                await self._connect()
            except (OSError, HostError) as error:
                self._fence(str(error))
                await asyncio.sleep(wait)
                wait = min(wait * 2, _BACKOFF_LIMIT_S)
            else:
                return

    def _take(self, engines: tuple[EngineSnapshot, ...]) -> None:
        latest = {engine.name: engine for engine in engines}
        if latest != self._snapshots:
            self._snapshots = MappingProxyType(latest)
            self._announce()

    def _fence(self, why: str) -> None:
        now = time.time()
        self._take(
            tuple(
                structs.replace(
                    engine,
                    state=EngineState.FENCED,
                    detail=why,
                    since=engine.since if engine.state is EngineState.FENCED else now,
                    metrics=None,
                )
                for engine in self._snapshots.values()
            )
        )

    def _announce(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
