"""What could be kept: a gate that knows how fast the engine is going to be and how long every answer gets.

It has the whole load before it, and an engine of its own that does what the other one does. Whoever comes is sent to a
copy of it, which goes on until everybody's answer is whole; if a promise would be broken by then, his or another's, he
waits as long as ours may wait, and then goes to the cloud. So it breaks none. What it makes no use of is who comes
later; sending some away for the sake of requests that have more tokens a second, as was tried, kept fewer.
"""

import copy

from scripts.benchmarks.gate_course import Course
from scripts.benchmarks.gate_ours import patience_s
from scripts.benchmarks.gate_traffic import Arrival
from scripts.benchmarks.gate_world import GAP_S, Gauges, Load, Machine, Request, Verdict, requests


class Clairvoyant:
    """Admits whom it can without a broken promise."""

    def __init__(self, machine: Machine, load: Load) -> None:
        self._offers = requests(load)
        self._course = Course(machine, load.speeds)
        self._way = machine.law.way
        self._under_way: set[int] = set()
        self._firsts: dict[int, float] = {}
        self._foretold: dict[int, float] = {}
        self._at = 0.0

    def scraped(self, _gauges: Gauges, _now: float) -> None:
        """There is nothing that it does not know."""

    def offer(self, request: Request, now: float) -> Verdict:
        """Look what would become of everybody."""
        self._follow(now, comes=request.at == now)
        _, arrival = self._offers[request.number]
        if self._kept(request, arrival, now):
            self._course.ask(request, arrival)
            self._under_way.add(request.number)
            return Verdict.ADMIT
        return Verdict.WAIT if now < request.at + patience_s(request) else Verdict.SPILL

    def token(self, number: int, now: float) -> None:
        """As it knew."""
        self._firsts.setdefault(number, now + self._way)

    def ended(self, number: int, _now: float) -> None:
        """As it knew."""
        self._under_way.remove(number)

    def predicted(self, number: int) -> float | None:
        """What it has seen of the first token when it was admitted."""
        return self._foretold.get(number)

    def _follow(self, now: float, *, comes: bool) -> None:
        """Do what the engine has done meanwhile: a call begins when the last one has ended, or when somebody has come.
        Those who waited are all asked before that, and not those who come (`comes`) in the same moment.
        """
        course = self._course
        while True:
            if comes or self._at < now:
                course.begin(self._at)
            if course.ends > now:
                break
            self._at = course.ends
            course.end()
        self._at = now

    def _kept(self, request: Request, arrival: Arrival, now: float) -> bool:
        """Whether all promises are kept if it is sent now."""
        course, firsts, left = copy.deepcopy(self._course), self._firsts.copy(), {*self._under_way, request.number}
        course.ask(request, arrival)
        while left:
            course.begin(now)
            now = course.ends
            for number, first, last in course.end():
                asked, answered = self._offers[number]
                if first:
                    firsts[number] = now + self._way
                    if asked.objective_s is not None and firsts[number] > asked.at + asked.objective_s:
                        return False
                if last:
                    left.remove(number)
                    spent = now + self._way - firsts[number]
                    if asked.objective_s is not None and spent > GAP_S * (answered.answer - 1):
                        return False
        self._foretold[request.number] = firsts[request.number] - request.at
        return True
