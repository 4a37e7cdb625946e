"""A policy in front of the simulated engine, in time that is only counted."""

import math
from collections.abc import Sequence

from scripts.benchmarks.gate_door import Door
from scripts.benchmarks.gate_engine import SimulatedEngine
from scripts.benchmarks.gate_traffic import Arrival
from scripts.benchmarks.gate_world import SCRAPE_S, Gauges, Load, Machine, Policy, Served, Speed


class Simulation:
    """One policy under one load."""

    def __init__(self, machine: Machine, load: Load, policy: Policy, seed: int) -> None:
        self._engine = SimulatedEngine(machine.slots, machine.slots * machine.context, machine.law)
        self._door = Door(load, policy, seed, self._send)
        self._way = machine.law.way
        self._speeds = load.speeds
        self._first: dict[int, float] = {}
        self._now = 0.0
        self._step_ends = math.inf
        self._step_began = 0.0

    def run(self) -> list[Served]:
        """Until the last request is over; in the order of arrival."""
        door, offers = self._door, self._door.offers
        asked, scraped = 0, 0.0
        while not door.over:
            due = offers[asked][0].at if asked < len(offers) else math.inf
            self._now = min(due, self._step_ends, scraped)
            if self._now == scraped:
                door.policy.scraped(Gauges(self._engine.waiting, self._engine.usage), self._now)
                scraped += SCRAPE_S
                door.offer_again(self._now)
            elif self._now == self._step_ends:
                self._end_step()
            else:
                door.offer(asked, self._now)
                asked += 1
            if self._step_ends == math.inf:
                self._begin_step()
        return door.served

    def _send(self, number: int, arrival: Arrival) -> None:
        request, _ = self._door.offers[number]
        self._engine.ask(number, arrival.prompt, arrival.answer, request.priority.in_engines)

    def _begin_step(self) -> None:
        seconds = self._engine.begin()
        if seconds is not None:
            self._step_began = self._now
            self._step_ends = _lasting(self._speeds, self._now, seconds)

    def _end_step(self) -> None:
        self._step_ends = math.inf
        for number, first, last in self._engine.end(self._now - self._step_began):
            self._door.policy.token(number, self._now)
            if first:
                self._first[number] = self._now + self._way
            if last:
                self._door.policy.ended(number, self._now)
                self._door.ended(number, self._first[number], self._now + self._way)
        self._door.offer_again(self._now)


def _lasting(speeds: Sequence[Speed], began: float, seconds: float) -> float:
    """When a step ends that takes so many seconds at full speed."""
    now, left = began, seconds
    for place, speed in enumerate(speeds):
        until = speeds[place + 1].at if place + 1 < len(speeds) else math.inf
        if until <= now:
            continue
        if speed.share * (until - now) >= left:
            return now + left / speed.share
        left -= speed.share * (until - now)
        now = until
    raise ValueError("the engine stands still for good")
