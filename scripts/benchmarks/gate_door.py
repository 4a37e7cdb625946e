"""Where requests meet a policy: who is sent, who waits and is asked about again, who goes to the cloud.

The same in front of the simulated engine and of a real one.
"""

import heapq
import math
import random
from collections.abc import Callable

from scripts.benchmarks.gate_traffic import Arrival
from scripts.benchmarks.gate_world import Load, Policy, Served, Verdict, requests

_CLOUD_FIRST_S, _CLOUD_SPREAD = 0.6, 0.4
"""Median and sigma of the logarithm: made up."""


class Door:
    """One policy under one load. Times are seconds since it began."""

    def __init__(self, load: Load, policy: Policy, seed: int, send: Callable[[int, Arrival], None]) -> None:
        """`send` has the engine answer a request that was admitted."""
        self.offers = requests(load)
        self.policy = policy
        self._send = send
        self._random = random.Random(seed)
        self._waiting: list[tuple[int, int]] = []
        self._sent: dict[int, float] = {}
        self._served: dict[int, Served] = {}

    @property
    def over(self) -> bool:
        """Whether everybody has an answer."""
        return len(self._served) == len(self.offers)

    @property
    def done(self) -> int:
        """How many have one."""
        return len(self._served)

    @property
    def served(self) -> list[Served]:
        """What became of all, in the order of arrival."""
        return [self._served[number] for number in range(len(self.offers))]

    def offer(self, number: int, now: float) -> Verdict:
        """Have the policy decide, and see that it is done."""
        request, arrival = self.offers[number]
        verdict = self.policy.offer(request, now)
        if verdict is Verdict.ADMIT:
            self._sent[number] = now
            self._send(number, arrival)
        elif verdict is Verdict.SPILL:
            first = now + self._random.lognormvariate(math.log(_CLOUD_FIRST_S), _CLOUD_SPREAD)
            self._served[number] = Served(arrival, request.priority, request.objective_s, None, first, None, None)
        elif (-request.priority, number) not in self._waiting:
            heapq.heappush(self._waiting, (-request.priority, number))
        return verdict

    def offer_again(self, now: float) -> None:
        """Whoever waits, in their order, until somebody of a class has to go on waiting."""
        if not self._waiting:
            return
        stuck: set[int] = set()
        left = []
        for rank, number in sorted(self._waiting):
            if rank in stuck or self.offer(number, now) is Verdict.WAIT:
                stuck.add(rank)
                left.append((rank, number))
        self._waiting = left

    def ended(self, number: int, first: float, last: float, really: Arrival | None = None) -> None:
        """The engine has answered; `really` has the lengths that came out, where they may differ."""
        request, arrival = self.offers[number]
        sent, foretold = self._sent[number], self.policy.predicted(number)
        objective_s = request.objective_s
        self._served[number] = Served(really or arrival, request.priority, objective_s, sent, first, last, foretold)
