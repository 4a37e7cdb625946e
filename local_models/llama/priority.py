"""Who goes first: of those who wait for a slot, and of those who have one. Pure.

Requests have a priority as in vLLM, an integer of which the lower goes first. There it orders the queue; here also who
is served in a step, because on a CPU a step with a prompt in it takes as long as many without:

    waiting   the most urgent one first, and of one priority whoever came first
    seated    while a prompt is evaluated, nothing is done for whoever is less urgent: its prompt waits and its answer
              pauses (beside a flood of batch work an interactive first token came after 0.37 s, and where only prompts
              yielded after 0.65, on the simulated engine when it had no AMX)
    behind    whoever is less urgent than usual (above 0) pauses while a more urgent answer is generated, too: a step
              of five sequences takes 35 ms and of one 13, so that answers are over sooner, and fewer of them meet.
              Beside four streams of batch work one first token in twenty came after 0.58 s, and comes after 0.43 now,
              0.44 alone; and as much batch work is done. Others do not pause for answers, for somebody waits for
              their next token

A slot is taken from nobody: what its stream holds would have to be evaluated anew. That the urgent find one is the
gate's affair, which has others fill no more than their share (`gateway.gate.headroom`).

A prompt is as urgent as the most urgent one that awaits it (see `prefixes`).

Nobody starves: when the urgent ones have had four times as long as the last such turn took (`IN_A_ROW`), and half a
second at least, a turn goes by who has been there longest, as if there were no priorities, with one piece of a prompt
in it. It goes by time, for beside an urgent answer the steps of an urgent prompt are short: by their number others had
half of the time, and beside four streams of batch work one first token in ten came after 0.6 s, where it is 0.46 now
and 0.37 alone (SmolLM2-135M on two CPUs, prompts of 40 to 250 words every 0.9 s). Those behind have their part while
nobody else is there, as a rule; what they have had so lately counts, up to two seconds more (`LENT_S`).
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_models.llama.seats import Key, Phase, Seats

IN_A_ROW: Final = 4
"""So many times the more urgent ones are served before others who have been there longer, and then it is their turn."""
TURN_S: Final = 0.5
"""And for so long at least: beside running sequences of theirs the steps of the urgent may be short."""
LENT_S: Final = 2.0
"""For so much longer where those who are less urgent than usual have had their part of it before."""
USUAL: Final = 0
"""The priority of requests that name none."""
_SERVED: Final = frozenset((Phase.PREFILLING, Phase.ASIDE, Phase.RUNNING))


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
        self.theirs = False
        """It is the turn of those who were passed over so far."""
        self.begins = False
        """Somebody is passed over in this step and nobody was in the last."""
        self._lends = False  # in this step somebody is served who is less urgent than usual
        self._in_a_row = 0
        self._had_s = 0.0  # the more urgent ones, since the others were served last
        self._turn_s = 0.0  # the others, in their last turn
        self._lent_s = 0.0  # time of the more urgent ones for which others have had their part before

    def took(self, seconds: float) -> None:
        """A call of the step that was planned last took so long."""
        if self.passed:
            self._had_s += seconds
        elif self.theirs:
            self._turn_s += seconds
        elif self._lends:
            self._lent_s = min(LENT_S, self._lent_s + IN_A_ROW * seconds)

    def next(self, seats: Seats) -> None:
        """The next step is planned."""
        passed, behind = _yielding(seats) if seats.mixed else (frozenset[int](), False)
        due = bool(passed) and self._due(behind=behind)
        self.begins = bool(passed) and not due and not self.passed
        self.theirs, self.passed = due, frozenset() if due else passed
        if self.passed:
            self._in_a_row += 1
            return
        self._lends = seats.least_urgent > USUAL
        self._lent_s = max(0.0, self._lent_s - self._had_s)
        self._in_a_row, self._had_s, self._turn_s = 0, 0.0, 0.0

    def _due(self, *, behind: bool) -> bool:
        """Whether those who would be passed over have their turn; `behind`: all are less urgent than usual."""
        if self._in_a_row < IN_A_ROW:
            return False
        if behind:
            # Where they have answers only, a turn is short.
            return self._had_s >= (IN_A_ROW * self._turn_s or TURN_S + self._lent_s)
        return self._had_s >= max(TURN_S, IN_A_ROW * self._turn_s)


def _yielding(seats: Seats) -> tuple[frozenset[int], bool]:
    """Who yields: to a more urgent prompt everybody, to a more urgent answer whoever is less urgent than usual. And
    whether all of them are that.
    """
    urgency = seats.urgency()
    served = [(urgency[slot], slot, seat.phase) for slot, seat in seats.taken if seat.phase in _SERVED]
    read = min((each for each, _, phase in served if phase is Phase.PREFILLING), default=math.inf)
    runs = min((each for each, _, phase in served if phase is Phase.RUNNING), default=math.inf)
    yielding = [(each, slot) for each, slot, _ in served if each > (min(read, runs) if each > USUAL else read)]
    return frozenset(slot for _, slot in yielding), all(each > USUAL for each, _ in yielding)
