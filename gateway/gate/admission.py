"""The gate: a permit per engine slot, a short bounded wait, then somebody else's turn to answer.

What becomes of a request is the choice of `engine.EngineGate`; `post.Post` asks it, and this module says at which
engine's.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from msgspec import Struct

from gateway.gate.engine import Learnt
from gateway.gate.permits import MovedOn, Permit
from gateway.gate.post import Applicant, Post
from gateway.gates import GateReport
from gateway.gpus import GpuSnapshot
from gateway.types import EngineView, GateState

# Part of the time-to-first-token objective that may be spent waiting (reference gate: 0.25).
_WAIT_SHARE = 0.25


class GateSettings(Struct, frozen=True, kw_only=True):
    """How long to wait for a slot where another backend may answer, and where none may."""

    max_wait_s: float
    max_wait_alone_s: float
    max_waiting: int
    on_gpus: frozenset[str] = frozenset()
    """Engines that are as fast as the GPUs of this box."""
    by_priority: frozenset[str] = frozenset()
    """Engines that serve first who is urgent."""


class Gate:
    """Admission to every engine of this box. `standbys` maps engines to those that answer while they are not up."""

    def __init__(
        self, slots: Mapping[str, int], settings: GateSettings, standbys: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._settings = settings
        self._standbys = dict(standbys)
        self._on_gpus = settings.on_gpus & slots.keys()
        self._posts = {
            name: Post(
                name,
                count,
                settings.max_waiting,
                partial(self._changed, name),
                by_priority=name in settings.by_priority,
            )
            for name, count in slots.items()
        }
        self._gpus = GpuSnapshot(reason="not looked at yet")

    def update(self, view: EngineView) -> None:
        """Take note of an engine's state; those who wait enter as soon as it is ready."""
        post = self._posts.get(view.name)
        if post is not None:
            post.see(view)

    def heard(self) -> None:
        """Who watches the engines is there. Once that was said, saying it no more takes trust away."""
        for post in self._posts.values():
            post.heard()

    def excuse(self, seconds: float) -> None:
        """This process stood still for so long, and no engine has to answer for it."""
        now = asyncio.get_running_loop().time()
        for post in self._posts.values():
            post.gate.excuse(seconds, now)

    def learnt(self) -> dict[str, Learnt]:
        """What is known of each engine that was seen at work, for the next life of this gate."""
        return {name: each for name, post in self._posts.items() if (each := post.gate.learnt).reach > 0}

    def recall(self, name: str, learnt: Learnt) -> None:
        """This is what was known of an engine in an earlier life; nothing has been asked of it in this one."""
        self._posts[name].recall(learnt)

    @property
    def gpus(self) -> GpuSnapshot:
        """The GPUs as they were seen last."""
        return self._gpus

    def see_gpus(self, snapshot: GpuSnapshot) -> None:
        """Take note of how the GPUs are. An engine is as slow as the slowest that it may use."""
        self._gpus = snapshot
        speeds = [gpu.speed for gpu in snapshot.gpus if gpu.visible and gpu.speed]
        if speeds:
            for name in self._on_gpus:
                self._posts[name].gate.see_speed(min(speeds))

    def is_open(self, name: str) -> bool:
        """Whether engine `name` takes requests at present, free slots or not."""
        return self._posts[name].ready

    def gets_on(self, name: str) -> bool:
        """Whether engine `name` takes requests, and is not known to stand still."""
        post = self._posts[name]
        return post.ready and not post.gate.health.fenced

    async def enter(self, name: str, applicant: Applicant) -> Permit:
        """A permit for engine `name`, or for its standby; whoever waits goes with whoever answers.

        Raises Rejected with `latency_objective`, `no_capacity` or `engine_unhealthy`, and in how many seconds to come
        back.
        """
        clock = asyncio.get_running_loop().time
        until = min(clock() + self._patience(applicant), applicant.deadline)
        while True:
            post = self._posts[self._answering(name) if applicant.standby else name]
            if post.given_up:
                raise post.rejection()
            try:
                return await post.acquire(applicant, until, clock)
            except MovedOn:
                continue

    def states(self) -> list[GateState]:
        """Every engine, in the order of the configuration."""
        return [post.state for post in self._posts.values()]

    def unanswered(self) -> dict[str, int]:
        """How many requests each engine has that has any, or has stood still with some: a hang is told by them."""
        return {name: count for name, post in self._posts.items() if (count := post.unanswered)}

    def reports(self) -> list[GateReport]:
        """The same, with what each has learnt and decided lately."""
        return [post.report() for post in self._posts.values()]

    def _answering(self, name: str) -> str:
        """The engine, or its standby while it is not up and that one is, or has at least not been given up as well."""
        other, post = self._standbys.get(name), self._posts[name]
        if other is None or not post.absent:
            return name
        standby = self._posts[other]
        return other if not standby.absent or (post.given_up and not standby.given_up) else name

    def _changed(self, name: str) -> None:
        """An engine may have come or gone: those who wait where nobody answers for them any more go on."""
        for engine, standby in self._standbys.items():
            if name in (engine, standby):
                other = engine if self._answering(engine) == standby else standby
                self._posts[other].permits.move_on()

    def _patience(self, applicant: Applicant) -> float:
        if applicant.elsewhere is None:
            return self._settings.max_wait_alone_s
        if applicant.ask.first_s is None:
            return self._settings.max_wait_s
        return min(self._settings.max_wait_s, _WAIT_SHARE * applicant.ask.first_s)
