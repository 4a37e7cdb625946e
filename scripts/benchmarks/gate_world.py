"""What a policy is put through, and what it is told: arrivals, an engine whose speed changes, and a cloud."""

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from gateway.types import Price, Priority
from scripts.benchmarks.gate_engine import Law
from scripts.benchmarks.gate_traffic import Arrival

FIRST_S: Final = 0.85
"""The objective for the first token: twice what the longest recorded prompts take on an idle engine (0.43 s)."""
GAP_S: Final = 0.1
"""The objective for the mean time between tokens of an answer: half as long again as all slots take beside a prompt."""
PRICE: Final = Price(input=250_000_000, output=2_000_000_000)
"""Of the cloud, in nano-dollars per million tokens: the mid tier of the example configurations."""
SCRAPE_S: Final = 0.05
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


def requests(load: Load) -> list[tuple[Request, Arrival]]:
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
