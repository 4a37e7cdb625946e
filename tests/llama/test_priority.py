"""Who is admitted first, who is served while a more urgent prompt is evaluated, and that nobody starves: as numbers."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from local_models.llama.prefixes import Prefixes
from local_models.llama.priority import IN_A_ROW, Line
from local_models.llama.scheduler import Row, Scheduler
from local_models.llama.seats import Key
from local_models.llama.shares import Shares
from tests.llama.machines import FLASH, Machine

URGENT, USUAL, BATCH = -1, 0, 1
ENOUGH = 3_000
EVEN = Machine(lambda _streams, _at: 1.0, lambda tokens, _at: 0.05 * tokens)
"""All streams together take as long as twenty prompt tokens."""


def prompt(size: int, token: int = 0) -> NDArray[np.int32]:
    """So many times the same token."""
    return np.full(size, token, dtype=np.int32)


class Box:
    """A scheduler on a machine."""

    def __init__(
        self,
        slots: int = 4,
        shares: Shares | None = None,
        prefixes: Prefixes | None = None,
        machine: Machine = EVEN,
    ) -> None:
        self.machine = machine
        self.scheduler = Scheduler(slots, shares or Shares(alone=16, beside=8, crowd=0, wide=False), prefixes)
        self.asked: dict[int, tuple[int, int]] = {}
        self.seats: dict[int, int] = {}
        self.said: dict[int, int] = {}
        self._numbers = itertools.count(1)

    def ask(self, size: int, priority: int, answer: int = ENOUGH, token: int | None = None) -> int:
        """A request arrives; its number. No two prompts begin alike unless they are of the same `token`."""
        number = next(self._numbers)
        self.asked[number] = (size, answer)
        self.said[number] = 0
        self.scheduler.enqueue(Key(number, 0), prompt(size, number if token is None else token), priority)
        return number

    def step(self) -> dict[int, tuple[int, int]]:
        """Admit, and decode a batch; returns how many prompt tokens and how many of its answer each request got."""
        for start in self.scheduler.admit():
            self.seats[start.place.slot] = start.key.job
        rows = self.scheduler.plan()
        served = {self.seats[row.slot]: self._split(row) for row in rows}
        for call in self.scheduler.apart(rows):
            self.scheduler.took(call, self._seconds(call))
            for ready in self.scheduler.advance(call, {row.slot: self._fed(row) for row in call}):
                self._say(ready.slot)
        return served

    def run(self, number: int) -> int:
        """Until a request has its first token; in how many steps."""
        for count in range(ENOUGH):
            if self.said[number]:
                return count
            self.step()
        raise AssertionError("it has none")

    def _split(self, row: Row) -> tuple[int, int]:
        size, _ = self.asked[self.seats[row.slot]]
        return (row.stop - row.start, 0) if row.start < size else (0, 1)

    def _seconds(self, call: tuple[Row, ...]) -> float:
        prompts = [row for row in call if row.start < self.asked[self.seats[row.slot]][0]]
        if not prompts:
            return self.machine.step(len(call), max(row.start for row in call))
        return sum(self.machine.piece(row.stop - row.start, row.start) for row in prompts)

    def _fed(self, row: Row) -> NDArray[np.int32]:
        return prompt(row.stop - row.start, self.seats[row.slot])

    def _say(self, slot: int) -> None:
        number = self.seats[slot]
        self.said[number] += 1
        if self.said[number] == self.asked[number][1]:
            self.scheduler.leave(slot)
            del self.seats[slot]


def line(*priorities: int) -> Line:
    """Requests 0, 1, 2 … wait."""
    subject = Line()
    for number, priority in enumerate(priorities):
        subject.add(Key(number, 0), prompt(1), priority)
    return subject


@pytest.mark.parametrize(
    ("priorities", "order"),
    [
        ((0, 0, 0), [0, 1, 2]),
        ((1, 0, -1), [2, 1, 0]),
        ((0, 1, 0, 1), [0, 2, 1, 3]),
        ((1, 0, 0, 0, 0, 0, 0), [1, 2, 3, 4, 0, 5, 6]),  # four times in a row somebody else, and then it is its turn
        ((2, 1, 0, 0, 0, 0, 0), [2, 3, 4, 5, 0, 6, 1]),
    ],
)
def test_the_most_urgent_is_next_and_every_fifth_time_who_has_waited_longest(
    priorities: tuple[int, ...], order: list[int]
) -> None:
    """Of one priority, whoever came first."""
    subject = line(*priorities)
    assert subject.jobs == tuple(range(len(priorities)))
    assert [subject.next().key.job for _ in priorities] == order
    assert len(subject) == 0


def test_who_is_withdrawn_waits_no_longer() -> None:
    """With all its choices; the others keep their turn."""
    subject = line(0, 1, 0)
    subject.add(Key(0, 1), prompt(1), 0)
    subject.withdraw(0)
    assert (len(subject), subject.jobs) == (2, (1, 2))
    assert [subject.next().key.job for _ in range(2)] == [2, 1]


def test_admission_is_by_priority() -> None:
    """The slot that comes free is for the urgent one, though it came last."""
    box = Box(slots=1)
    box.ask(4, BATCH, answer=1)
    box.step()
    _, urgent = box.ask(4, BATCH), box.ask(4, URGENT)
    assert box.step() == {urgent: (4, 0)}


def test_while_an_urgent_prompt_is_evaluated_nothing_is_done_for_others() -> None:
    """Neither a token for the answer that runs nor one for the prompt that came first; then both go on."""
    box = Box()
    running = box.ask(4, BATCH)
    box.step()
    first, urgent = box.ask(40, BATCH), box.ask(40, URGENT)
    assert [box.step() for _ in range(3)] == [{urgent: (16, 0)}, {urgent: (16, 0)}, {urgent: (8, 0)}]
    then = box.step()
    assert then.keys() == {running, first, urgent}
    assert (then[running], then[urgent]) == ((0, 1), (0, 1))


def test_of_two_prompts_the_one_of_the_lower_number_goes_first() -> None:
    """Whatever the numbers are: it is their order that counts."""
    box = Box()
    later, sooner = box.ask(16, 7), box.ask(16, 3)
    assert box.step() == {sooner: (16, 0)}
    assert box.said[later] == 0


def test_running_sequences_of_all_priorities_decode_together() -> None:
    """Without a prompt there is nothing that a batch of fewer would be much faster for."""
    box = Box()
    numbers = [box.ask(4, priority, answer=9) for priority in (BATCH, URGENT, USUAL)]
    for number in numbers:
        box.run(number)
    assert box.step() == dict.fromkeys(numbers, (0, 1))


def test_running_sequences_that_are_as_urgent_as_the_prompt_go_on() -> None:
    """They share the step with it as ever, and only the less urgent one is passed over."""
    box = Box()
    usual, batch = box.ask(4, USUAL), box.ask(4, BATCH)
    box.run(batch)
    other = box.ask(40, USUAL)
    assert [box.step().keys() for _ in range(IN_A_ROW)] == [{usual, other}] * IN_A_ROW
    assert box.step().keys() == {usual, batch, other}


def test_what_an_urgent_prompt_takes_is_not_owed_to_those_who_were_passed_over() -> None:
    """A second one, beside an urgent answer, gets as much of its first step as if there had been no first."""
    shares = Shares(alone=128, beside=128, crowd=0)
    taken = []
    for size in (2, 4_000):
        box = Box(shares=shares)
        box.run(box.ask(4, BATCH))
        box.run(box.ask(2, URGENT))
        box.run(box.ask(8, URGENT, answer=1))  # what a prompt token costs is known from here on
        box.run(box.ask(size, URGENT - 1, answer=1))
        last = box.ask(100, URGENT)
        taken.append(box.step()[last])
    assert taken[0] == taken[1]


def test_whom_an_urgent_one_awaits_is_as_urgent() -> None:
    """A batch prompt that an urgent one begins like goes on before others of batch and before usual ones."""
    box = Box(prefixes=Prefixes(4, 1_000, narrow=True))
    leader, usual = box.ask(200, BATCH, token=1), box.ask(200, USUAL)
    assert box.step().keys() == {usual}
    urgent = box.ask(210, URGENT, token=1)
    box.run(urgent)
    assert box.said[leader]
    assert box.said[usual] == 0


def test_with_one_priority_all_is_as_without() -> None:
    """Whichever it is: the same rows, step by step."""
    seen = []
    for priority in (0, 5):
        box, dice = Box(slots=3), random.Random(1)
        steps = []
        for _ in range(200):
            if dice.random() < 0.3:
                box.ask(dice.randint(1, 60), priority, answer=dice.randint(1, 20))
            steps.append(box.step())
        seen.append(steps)
    assert seen[0] == seen[1]


@settings(max_examples=60, deadline=None)
@given(
    slots=st.integers(1, 4),
    beside=st.integers(4, 64),
    wide=st.booleans(),
    ours=st.lists(st.tuples(st.integers(1, 150), st.integers(0, 2), st.integers(1, 6)), min_size=1, max_size=5),
    urgent=st.tuples(st.integers(1, 150), st.integers(1, 6)),
)
@example(slots=1, beside=64, wide=True, ours=[(150, 2, 6)] * 5, urgent=(150, 1))
@example(slots=4, beside=64, wide=True, ours=[(150, 0, 6), (150, 2, 6)], urgent=(64, 6))
def test_nobody_starves_however_many_urgent_ones_come(
    *, slots: int, beside: int, wide: bool, ours: list[tuple[int, int, int]], urgent: tuple[int, int]
) -> None:
    """An urgent request waits at every step, and everybody gets through; whoever runs is passed over four times in a
    row at most.
    """
    box = Box(slots, Shares(alone=128, beside=beside, wide=wide))
    mine = {box.ask(size, priority, answer): answer for size, priority, answer in ours}
    paused = dict.fromkeys(mine, 0)
    for _ in range(ENOUGH):
        if all(box.said[number] == answer for number, answer in mine.items()):
            return
        if box.scheduler.waiting < 3:
            box.ask(urgent[0], URGENT, answer=urgent[1])
        served = box.step()
        for number, answer in mine.items():
            runs = 0 < box.said[number] < answer and number in box.seats.values()
            paused[number] = paused[number] + 1 if runs and number not in served else 0
            assert paused[number] <= IN_A_ROW
    raise AssertionError("somebody starves")


def test_a_long_prompt_gets_on_though_urgent_ones_leave_no_time_for_it() -> None:
    """Where a wide piece of it would fit into no step of those that are its turn, it has a few tokens in each."""
    box = Box(8, Shares(), machine=FLASH)
    long = box.ask(2_000, BATCH, answer=1)
    for _ in range(ENOUGH):
        while box.scheduler.waiting < 3:
            box.ask(200, URGENT, answer=20)
        box.step()
    assert box.said[long]
