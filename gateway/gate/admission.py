"""The gate: a permit per engine slot, a short bounded wait, then somebody else's turn to answer."""

import asyncio
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from msgspec import Struct

from gateway.errors import Reason, Rejected
from gateway.gate.permits import MovedOn, Permit, PermitQueue, QueueFull
from gateway.gpus import GpuSnapshot
from gateway.types import EngineView, GateState, SlaClass

# Part of the time-to-first-token objective that may be spent waiting (reference gate: 0.25).
_WAIT_SHARE = 0.25
_SMOOTHING = 0.2
_FIRST_GUESS_S = 2.0
_MAX_RETRY_AFTER_S = 60.0
# A process that dies takes all its connections with it at once; how many broke is known a moment after the first.
_GATHER_S = 0.05
_DOUBT_S = 1.0


class GateSettings(Struct, frozen=True, kw_only=True):
    """How long to wait for a slot where another backend may answer, and where none may."""

    max_wait_s: float
    max_wait_alone_s: float
    max_waiting: int


class _Engine:
    """What the gate knows of one engine: its permits, its state, and how long a permit is usually held. `changed`
    hears of whatever may have become of its state.
    """

    def __init__(self, slots: int, max_waiting: int, changed: Callable[[], None]) -> None:
        self.permits = PermitQueue(slots, max_waiting)
        self.view: EngineView | None = None
        self.hold_s = _FIRST_GUESS_S
        self._in_flight = 0
        self._broken = 0
        self._doubt: asyncio.TimerHandle | None = None
        self._broken_off = False
        self._changed = changed

    @property
    def absent(self) -> bool:
        """Whether a standby should answer for it. While a doubt is weighed it is there: most pass in a moment."""
        return self.view is None or not self.view.ready or self._broken_off

    @property
    def given_up(self) -> bool:
        """Whether nobody expects it back."""
        return self.view is not None and self.view.given_up

    @property
    def ready(self) -> bool:
        """Whether it takes requests, free slots or not."""
        return self.permits.is_open

    @property
    def detail(self) -> str:
        """How it is, for people."""
        if self.view is None:
            return "not seen yet"
        return "its connections broke just now" if self.view.ready and self._doubt is not None else self.view.detail

    def see(self, view: EngineView) -> None:
        """Take note of its state. A doubt of this launch outlasts the news that it is not quite well; a successor,
        at another address, is free of it.
        """
        if self.view is not None and view.url != self.view.url:
            self._forget_doubt()
        self.view = view
        self._open_or_shut()

    def doubt(self) -> None:
        """A connection broke. Nobody is let in until it is known whether those of most others broke too; if so, the
        engine has probably died, and nobody is sent after them until who watches it says more.
        """
        self._broken += 1
        if self._doubt is None:
            self._in_flight, self._broken = self.permits.in_use, 1
            self._doubt = asyncio.get_running_loop().call_later(_GATHER_S, self._weigh)
            self._open_or_shut()

    def _weigh(self) -> None:
        if 2 * self._broken > self._in_flight:
            self._broken_off = True
            self._changed()
            self._doubt = asyncio.get_running_loop().call_later(_DOUBT_S - _GATHER_S, self._trust_again)
        else:
            self._trust_again()

    def _trust_again(self) -> None:
        self._doubt, self._broken_off = None, False
        self._open_or_shut()

    def _forget_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt, self._broken_off = None, False

    def _open_or_shut(self) -> None:
        self.permits.set_open(is_open=self.view is not None and self.view.ready and self._doubt is None)
        self._changed()


class Gate:
    """Admission to every engine of this box. `standbys` maps engines to those that answer while they are not up."""

    def __init__(
        self, slots: Mapping[str, int], settings: GateSettings, standbys: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._settings = settings
        self._standbys = dict(standbys)
        self._engines = {
            name: _Engine(count, settings.max_waiting, partial(self._changed, name)) for name, count in slots.items()
        }
        self._gpus = GpuSnapshot(reason="not looked at yet")

    def update(self, view: EngineView) -> None:
        """Take note of an engine's state; those who wait enter as soon as it is ready."""
        engine = self._engines.get(view.name)
        if engine is not None:
            engine.see(view)

    @property
    def gpus(self) -> GpuSnapshot:
        """The GPUs as they were seen last."""
        return self._gpus

    def see_gpus(self, snapshot: GpuSnapshot) -> None:
        """Take note of how the GPUs are."""
        self._gpus = snapshot

    def is_open(self, name: str) -> bool:
        """Whether engine `name` takes requests at present, free slots or not."""
        return self._engines[name].permits.is_open

    async def enter(self, name: str, sla: SlaClass, *, alone: bool, deadline: float, standby: bool = False) -> Permit:
        """A permit for engine `name`. `alone`: no other backend may answer, so waiting longer is worth it. `standby`:
        that of its standby will do while it is not up; whoever waits goes with whoever answers.

        Raises Rejected with `no_capacity` or `engine_unhealthy`, and in how many seconds to come back.
        """
        clock = asyncio.get_running_loop().time
        until = min(clock() + self._patience(sla, alone=alone), deadline)
        while True:
            at = self._answering(name) if standby else name
            engine = self._engines[at]
            if engine.given_up:
                raise _rejected(engine, at)
            try:
                permit = await engine.permits.acquire(sla.priority, until - clock(), movable=standby)
            except MovedOn:
                continue
            except (TimeoutError, QueueFull) as error:
                raise _rejected(engine, at) from error
            return self._timed(at, engine, permit)

    def states(self) -> list[GateState]:
        """Every engine, in the order of the configuration."""
        return [
            GateState(
                engine=name,
                slots=engine.permits.slots,
                in_use=engine.permits.in_use,
                waiting=engine.permits.waiting,
                ready=engine.ready,
                detail=engine.detail,
            )
            for name, engine in self._engines.items()
        ]

    def _answering(self, name: str) -> str:
        """The engine, or its standby while it is not up and that one is, or has at least not been given up as well."""
        other, engine = self._standbys.get(name), self._engines[name]
        if other is None or not engine.absent:
            return name
        standby = self._engines[other]
        return other if not standby.absent or (engine.given_up and not standby.given_up) else name

    def _changed(self, name: str) -> None:
        """An engine may have come or gone: those who wait where nobody answers for them any more go on."""
        for engine, standby in self._standbys.items():
            if name in (engine, standby):
                other = engine if self._answering(engine) == standby else standby
                self._engines[other].permits.move_on()

    def _patience(self, sla: SlaClass, *, alone: bool) -> float:
        if alone:
            return self._settings.max_wait_alone_s
        if sla.ttft_s is None:
            return self._settings.max_wait_s
        return min(self._settings.max_wait_s, _WAIT_SHARE * sla.ttft_s)

    def _timed(self, name: str, engine: _Engine, permit: Permit) -> Permit:
        clock = asyncio.get_running_loop().time
        entered = clock()

        def release() -> None:
            engine.hold_s += _SMOOTHING * (clock() - entered - engine.hold_s)
            permit.release()

        return Permit(release, engine.doubt, name)


def _rejected(engine: _Engine, name: str) -> Rejected:
    permits = engine.permits
    if not engine.ready:
        return Rejected(f"engine {name}: {engine.detail}", reason=Reason.ENGINE_UNHEALTHY, retry_after=_FIRST_GUESS_S)
    seconds = engine.hold_s * (permits.waiting + 1) / permits.slots
    return Rejected(
        f"engine {name}: all {permits.slots} slots are in use and {permits.waiting} requests wait",
        reason=Reason.NO_CAPACITY,
        retry_after=min(_MAX_RETRY_AFTER_S, max(1.0, math.ceil(seconds))),
    )
