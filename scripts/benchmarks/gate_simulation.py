"""A policy in front of the simulated engine, in time that is only counted."""

import math

from scripts.benchmarks.gate_course import Course
from scripts.benchmarks.gate_door import Door
from scripts.benchmarks.gate_traffic import Arrival
from scripts.benchmarks.gate_world import SCRAPE_S, Gauges, Load, Machine, Policy, Served


class Simulation:
    """One policy under one load."""

    def __init__(self, machine: Machine, load: Load, policy: Policy, seed: int) -> None:
        self._course = Course(machine, load.speeds)
        self._door = Door(load, policy, seed, self._send)
        self._way = machine.law.way
        self._first: dict[int, float] = {}
        self._now = 0.0

    def run(self) -> list[Served]:
        """Until the last request is over; in the order of arrival."""
        door, offers, course = self._door, self._door.offers, self._course
        asked, scraped = 0, 0.0
        while not door.over:
            due = offers[asked][0].at if asked < len(offers) else math.inf
            self._now = min(due, course.ends, scraped)
            if self._now == course.ends:
                self._end_call()
            elif self._now == scraped:
                door.policy.scraped(Gauges(course.engine.waiting, course.engine.usage), self._now)
                scraped += SCRAPE_S
                door.offer_again(self._now)
            else:
                door.offer(asked, self._now)
                asked += 1
            course.begin(self._now)
        return door.served

    def _send(self, number: int, arrival: Arrival) -> None:
        request, _ = self._door.offers[number]
        self._course.ask(request, arrival)

    def _end_call(self) -> None:
        for number, first, last in self._course.end():
            self._door.policy.token(number, self._now)
            if first:
                self._first[number] = self._now + self._way
            if last:
                self._door.policy.ended(number, self._now)
                self._door.ended(number, self._first[number], self._now + self._way)
        self._door.offer_again(self._now)
