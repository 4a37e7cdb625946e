"""What a policy is put through: arrivals, an engine whose speed changes, a cloud, and time that is only counted."""

import heapq
import math
import random
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from gateway.types import Price, Priority
from scripts.benchmarks.gate_engine import Law, SimulatedEngine
from scripts.benchmarks.gate_traffic import Arrival

FIRST_S: Final = 6.0
"""The objective for the first token: half as long again as the longest prompts take on an idle engine."""
GAP_S: Final = 0.3
"""The objective for the mean time between tokens of an answer: twice what all slots take beside a prompt."""
PRICE: Final = Price(input=250_000_000, output=2_000_000_000)
"""Of the cloud, in nano-dollars per million tokens: the mid tier of the example configurations."""
_CLOUD_FIRST_S, _CLOUD_SPREAD = 0.6, 0.4
"""Median and sigma of the logarithm: made up."""
_SCRAPE_S: Final = 0.05
_LEARNT: Final = 0.05


class Request(NamedTuple):
    """What a policy is told of a request. Nobody knows how long the answer gets: `expected` is the mean of its kind."""

    number: int
    at: float
    prompt: int
    expected: int
    priority: Priority
    objective_s: float | None = FIRST_S


class Verdict(Enum):
    """What becomes of a request now; one that waits is asked about again whenever the engine gets on."""

    ADMIT = "admit"
    WAIT = "wait"
    SPILL = "spill"


class Gauges(NamedTuple):
    """What the engine's `/metrics` says."""

    waiting: int
    usage: float


class Policy(Protocol):
    """A gate. Times are seconds of the simulation's clock."""

    def scraped(self, gauges: Gauges, now: float, /) -> None:
        """The engine's own figures, every 50 ms."""
        ...

    def offer(self, request: Request, now: float, /) -> Verdict:
        """Decide; who is admitted is sent at once."""
        ...

    def token(self, number: int, now: float, /) -> None:
        """A stream has got its next token."""
        ...

    def ended(self, number: int, now: float, /) -> None:
        """The answer is whole; after its last token."""
        ...

    def predicted(self, number: int, /) -> float | None:
        """What was foretold of an admitted request's first token, in seconds from its arrival."""
        ...


class Served(NamedTuple):
    """What became of a request. `sent`, `first` and `last` are None where it went to the cloud."""

    arrival: Arrival
    priority: Priority
    objective_s: float | None
    sent: float | None
    first: float
    last: float | None
    foretold: float | None

    @property
    def local(self) -> bool:
        """Whether the box answered."""
        return self.sent is not None

    @property
    def first_s(self) -> float:
        """From its arrival to its first token."""
        return self.first - self.arrival.at

    @property
    def gap_s(self) -> float:
        """Mean time between its tokens."""
        if self.last is None or self.arrival.answer < 2:
            return 0.0
        return (self.last - self.first) / (self.arrival.answer - 1)

    @property
    def missed(self) -> bool:
        """Whether the box broke a promise to it."""
        late = self.objective_s is not None and (self.first_s > self.objective_s or self.gap_s > GAP_S)
        return self.local and late


class Speed(NamedTuple):
    """From `at` on the engine runs at this share of its speed."""

    at: float
    share: float


class Load(NamedTuple):
    """Everything that comes, and how fast the engine is meanwhile; `batch` comes beside it from a class of its own."""

    arrivals: Sequence[Arrival]
    speeds: Sequence[Speed] = (Speed(0.0, 1.0),)
    batch: Sequence[Arrival] = ()


class Machine(NamedTuple):
    """The engine that is simulated."""

    law: Law
    slots: int
    context: int


class Simulation:
    """One policy under one load."""

    def __init__(self, machine: Machine, load: Load, policy: Policy, seed: int) -> None:
        self._engine = SimulatedEngine(machine.slots, machine.slots * machine.context, machine.law)
        self._way = machine.law.way
        self._load = load
        self._policy = policy
        self._random = random.Random(seed)
        self._offers: list[tuple[Request, Arrival]] = []
        self._waiting: list[tuple[int, int]] = []
        self._sent: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self._served: dict[int, Served] = {}
        self._now = 0.0
        self._step_ends = math.inf
        self._step_began = 0.0

    def run(self) -> list[Served]:
        """Until the last request is over; in the order of arrival."""
        self._offers = _requests(self._load)
        asked, scraped = 0, 0.0
        while len(self._served) < len(self._offers):
            due = self._offers[asked][0].at if asked < len(self._offers) else math.inf
            self._now = min(due, self._step_ends, scraped)
            if self._now == scraped:
                self._policy.scraped(Gauges(self._engine.waiting, self._engine.usage), self._now)
                scraped += _SCRAPE_S
                self._offer_again()
            elif self._now == self._step_ends:
                self._end_step()
            else:
                self._offer(asked)
                asked += 1
            if self._step_ends == math.inf:
                self._begin_step()
        return [self._served[number] for number in range(len(self._offers))]

    def _offer(self, number: int) -> Verdict:
        request, arrival = self._offers[number]
        verdict = self._policy.offer(request, self._now)
        if verdict is Verdict.ADMIT:
            self._sent[number] = self._now
            self._engine.ask(number, arrival.prompt, arrival.answer)
        elif verdict is Verdict.SPILL:
            first = self._now + self._random.lognormvariate(math.log(_CLOUD_FIRST_S), _CLOUD_SPREAD)
            self._served[number] = Served(arrival, request.priority, request.objective_s, None, first, None, None)
        elif (-request.priority, number) not in self._waiting:
            heapq.heappush(self._waiting, (-request.priority, number))
        return verdict

    def _offer_again(self) -> None:
        """Whoever waits, in their order, until somebody of a class has to go on waiting."""
        if not self._waiting:
            return
        stuck: set[int] = set()
        left = []
        for rank, number in sorted(self._waiting):
            if rank in stuck or self._offer(number) is Verdict.WAIT:
                stuck.add(rank)
                left.append((rank, number))
        self._waiting = left

    def _begin_step(self) -> None:
        seconds = self._engine.begin()
        if seconds is not None:
            self._step_began = self._now
            self._step_ends = _lasting(self._load.speeds, self._now, seconds)

    def _end_step(self) -> None:
        self._step_ends = math.inf
        for number, first, last in self._engine.end(self._now - self._step_began):
            self._policy.token(number, self._now)
            if first:
                self._first[number] = self._now + self._way
            if last:
                self._policy.ended(number, self._now)
                self._over(number)
        self._offer_again()

    def _over(self, number: int) -> None:
        request, arrival = self._offers[number]
        self._served[number] = Served(
            arrival,
            request.priority,
            request.objective_s,
            self._sent[number],
            self._first[number],
            self._now + self._way,
            self._policy.predicted(number),
        )


def _requests(load: Load) -> list[tuple[Request, Arrival]]:
    """All arrivals in order, each with what is known of the kind when it comes."""
    found: list[tuple[Request, Arrival]] = []
    expected: dict[str, float] = {}
    both = [(each.at, Priority.INTERACTIVE, each) for each in load.arrivals]
    both += [(each.at, Priority.BATCH, each) for each in load.batch]
    for number, (at, priority, each) in enumerate(sorted(both)):
        mean = expected.setdefault(each.kind, float(each.answer))
        objective = FIRST_S if priority is Priority.INTERACTIVE else None
        found.append((Request(number, at, each.prompt, max(1, round(mean)), priority, objective), each))
        expected[each.kind] = mean + _LEARNT * (each.answer - mean)
    return found


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
