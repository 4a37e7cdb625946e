"""Who goes first: of those who wait for a slot, and of those who have one. Pure.

Requests have a priority as in vLLM, an integer of which the lower goes first. There it orders the queue; here also who
is served in a step, because on a CPU a step with a prompt in it takes as long as many without:

    waiting   the most urgent one first, and of one priority whoever came first
    seated    while a prompt is evaluated, nothing is done for whoever is less urgent: its prompt waits and its answer
              pauses (beside a flood of batch work on the simulated engine of `scripts/bench gate` an interactive first
              token comes after 0.37 s, where only prompts yield after 0.65). Running sequences do not yield to running
              ones, for decoded together they hardly take longer

A slot is taken from nobody: what its stream holds would have to be evaluated anew. That the urgent find one is the
gate's affair, which has others fill no more than their share (`gateway.gate.headroom`).

A prompt is as urgent as the most urgent one that awaits it (see `prefixes`).

Nobody starves: every fifth turn (`IN_A_ROW`) goes by who has been there longest, as if there were no priorities. In
four steps 512 prompt tokens are evaluated, more than most prompts have, so that few of the urgent ever give a turn
away, and an answer that pauses goes on after a second or two. On the simulated engine two and sixteen do as well.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_models.llama.seats import Key, Phase, Seats

IN_A_ROW: Final = 4
"""So many times the more urgent ones are served before others who have been there longer, and then it is their turn."""
_SERVED: Final = frozenset((Phase.PREFILLING, Phase.RUNNING))


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A sequence without a slot; `number` counts arrivals."""

    number: int
    key: Key
    prompt: NDArray[np.int32]
    priority: int


class Line:
    """Sequences that wait for a slot."""

    def __init__(self) -> None:
        self._lines: dict[int, deque[Waiting]] = {}  # by priority, none of them empty
        self._numbers = 0
        self._overtaken = 0  # so many times in a row not the one who has waited longest was next

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def add(self, key: Key, prompt: NDArray[np.int32], priority: int) -> None:
        """A sequence waits."""
        self._numbers += 1
        self._lines.setdefault(priority, deque()).append(Waiting(self._numbers, key, prompt, priority))

    def next(self) -> Waiting:
        """Whose turn it is; it waits no longer."""
        longest = min((line[0] for line in self._lines.values()), key=lambda each: each.number)
        first = longest if self._overtaken == IN_A_ROW else self._lines[min(self._lines)][0]
        self._overtaken = 0 if first is longest else self._overtaken + 1
        line = self._lines[first.priority]
        line.popleft()
        if not line:
            del self._lines[first.priority]
        return first

    def withdraw(self, job: int) -> None:
        """A request waits no longer."""
        left = ((priority, [each for each in line if each.key.job != job]) for priority, line in self._lines.items())
        self._lines = {priority: deque(line) for priority, line in left if line}

    @property
    def jobs(self) -> tuple[int, ...]:
        """Requests that wait, longest waiting first."""
        waiting = sorted((each for line in self._lines.values() for each in line), key=lambda each: each.number)
        return tuple(dict.fromkeys(each.key.job for each in waiting))


class Turns:
    """Which of the seated are served in a step."""

    def __init__(self) -> None:
        self.passed: frozenset[int] = frozenset()
        """The slots that are passed over in this step."""
        self._in_a_row = 0

    def next(self, seats: Seats) -> bool:
        """The next step is planned. Returns whether it is the turn of those who were passed over so far."""
        urgency = seats.urgency()
        prompts = [urgency[slot] for slot, seat in seats.taken if seat.phase is Phase.PREFILLING]
        most = min(prompts, default=None)
        self.passed = frozenset(
            slot for slot, seat in seats.taken if most is not None and seat.phase in _SERVED and urgency[slot] > most
        )
        theirs = bool(self.passed) and self._in_a_row == IN_A_ROW
        if theirs:
            self.passed = frozenset()
        self._in_a_row = self._in_a_row + 1 if self.passed else 0
        return theirs
