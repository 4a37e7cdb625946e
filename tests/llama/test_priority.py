"""Who is admitted first, who is served while a more urgent prompt is evaluated, and that nobody starves: as numbers."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from local_models.llama.prefixes import Prefixes
from local_models.llama.priority import IN_A_ROW, LENT_S, TURN_S, Line
from local_models.llama.rows import Row
from local_models.llama.scheduler import Scheduler
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
        self.asked_as: dict[int, int] = {}
        self.seats: dict[int, int] = {}
        self.said: dict[int, int] = {}
        self.now = 0.0
        self._numbers = itertools.count(1)

    def ask(self, size: int, priority: int, answer: int = ENOUGH, token: int | None = None) -> int:
        """A request arrives; its number. No two prompts begin alike unless they are of the same `token`."""
        number = next(self._numbers)
        self.asked[number], self.asked_as[number] = (size, answer), priority
        self.said[number] = 0
        self.scheduler.enqueue(Key(number, 0), prompt(size, number if token is None else token), priority)
        return number

    def step(self) -> dict[int, tuple[int, int]]:
        """Admit, and decode a batch; returns how many prompt tokens and how many of its answer each request got."""
        for start in self.scheduler.admit():
            self.seats[start.place.slot] = start.key.job
        served: dict[int, tuple[int, int]] = {}
        calls = [*reversed(self.scheduler.apart(self.scheduler.plan()))]
        while calls:
            call = calls.pop()
            served |= {self.seats[row.slot]: self._split(row) for row in call}
            self.now += (seconds := self._seconds(call))
            self.scheduler.took(call, seconds)
            for ready in self.scheduler.advance(call, {row.slot: self._fed(row) for row in call}):
                self._say(ready.slot)
            calls = self.scheduler.rest(calls)
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
    first, urgent = box.ask(40, BATCH), box.ask(40, URGENT, answer=1)
    assert [box.step() for _ in range(3)] == [{urgent: (16, 0)}, {urgent: (16, 0)}, {urgent: (8, 0)}]
    then = box.step()
    assert then.keys() == {running, first}
    assert then[running] == (0, 1)


def test_of_two_prompts_the_one_of_the_lower_number_goes_first() -> None:
    """Whatever the numbers are: it is their order that counts."""
    box = Box()
    later, sooner = box.ask(16, 7), box.ask(16, 3)
    assert box.step() == {sooner: (16, 0)}
    assert box.said[later] == 0


@pytest.mark.parametrize(
    ("priorities", "served"),
    [
        ((URGENT, USUAL), {URGENT, USUAL}),
        ((URGENT, USUAL, BATCH), {URGENT, USUAL}),
        ((USUAL, BATCH), {USUAL}),
        ((BATCH, BATCH + 1), {BATCH}),
        ((BATCH,), {BATCH}),
        ((BATCH + 1,), {BATCH + 1}),
    ],
)
def test_who_is_less_urgent_than_usual_pauses_for_answers(priorities: tuple[int, ...], served: set[int]) -> None:
    """All others decode together: without a prompt there is nothing that somebody should wait for."""
    box = Box()
    numbers = {box.ask(4, priority): priority for priority in priorities}
    for number in numbers:
        box.run(number)
    assert {numbers[number] for number in box.step()} == served


def test_after_the_urgent_answer_the_others_go_on() -> None:
    """Where they were."""
    box = Box()
    batch = box.ask(4, BATCH)
    box.run(batch)
    urgent = box.ask(4, URGENT, answer=3)
    assert [box.step().keys() for _ in range(4)] == [{urgent}, {urgent}, {urgent}, {batch}]


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


QUICK = Machine(lambda streams, _at: 0.002 * streams, lambda tokens, _at: 0.001 * tokens)
"""A hundred tokens of a prompt are read in a tenth of a second."""


def test_others_have_a_fifth_of_the_time_not_of_the_steps() -> None:
    """Beside an urgent answer an urgent prompt has many short steps, after four of which no long one may follow."""
    box = Box(8, Shares(), machine=QUICK)
    batch = [box.ask(400, BATCH, answer=400) for _ in range(5)]
    for number in batch:
        box.run(number)
    box.run(box.ask(20, URGENT))
    spent = {True: 0.0, False: 0.0}
    for number in (box.ask(400, URGENT, answer=1) for _ in range(2)):
        while not box.said[number]:
            began, served = box.now, box.step()
            spent[bool(served.keys() & set(batch))] += box.now - began
    assert spent[False] > 0.5
    assert spent[True] < 0.3 * spent[False]


@pytest.mark.parametrize(
    ("mine", "before_s", "longest_s"),
    [(BATCH, 0.0, TURN_S), (BATCH, 0.2, TURN_S + IN_A_ROW * 0.2), (BATCH, 5.0, TURN_S + LENT_S), (USUAL, 5.0, TURN_S)],
)
def test_what_others_had_before_counts_for_a_while(mine: int, before_s: float, longest_s: float) -> None:
    """An answer that is less urgent than usual pauses for longer where it has run alone, and no other does. From its
    first turn on there are no more than four steps between two of them, or half a second.
    """
    box = Box(2, Shares(), machine=QUICK)
    answer = box.ask(1, mine)
    box.run(answer)
    while box.now < before_s:
        box.step()
    began = box.now
    pauses: list[float] = []
    while len(pauses) < 3:
        if not box.scheduler.waiting:
            box.ask(400, URGENT, answer=1)
        if answer in box.step():
            pauses.append(box.now - began)
            began = box.now
    assert pauses[0] == pytest.approx(longest_s, abs=0.2)
    assert pauses[1:] == [pytest.approx(TURN_S, abs=0.2)] * 2


def test_beside_an_endless_answer_others_have_a_fifth_of_the_time() -> None:
    """From their first turn on, though theirs are answers, whose steps are short."""
    box = Box(3, Shares(), machine=QUICK)
    batch = [box.ask(1, BATCH) for _ in range(2)]
    for number in batch:
        box.run(number)
    box.run(box.ask(1, URGENT))
    while batch[0] not in box.step():
        pass
    spent = {True: 0.0, False: 0.0}
    for _ in range(200):
        began, served = box.now, box.step()
        spent[batch[0] in served] += box.now - began
    assert spent[True] == pytest.approx(0.2 * (spent[True] + spent[False]), rel=0.1)


def test_in_their_turn_others_take_a_piece_and_no_more() -> None:
    """An urgent prompt waits for 64 tokens of theirs, not for all that a step may take."""
    box = Box(8, Shares(), machine=QUICK)
    batch = box.ask(4_000, BATCH)
    box.step()
    box.ask(20_000, URGENT)
    given = [served[batch] for served in (box.step() for _ in range(40)) if batch in served]
    assert given
    assert set(given) == {(64, 0)}


def test_an_urgent_prompt_owes_nothing_for_others() -> None:
    """A piece of a batch prompt has held up an urgent answer a moment ago: the urgent prompt that comes goes on."""
    seen = []
    for size in (2, 2_000):
        box = Box(8, Shares(aside=10_000), machine=FLASH)
        box.run(box.ask(4, URGENT))
        box.run(box.ask(300, URGENT, answer=1))  # what a prompt token costs is known from here on
        for _ in range(20):
            box.step()
        batch = box.ask(size, BATCH, answer=1)
        while batch not in box.step():
            pass
        began = box.now
        box.run(box.ask(300, URGENT, answer=1))
        seen.append(box.now - began)
    # The piece alone takes twice as long as this.
    assert seen[1] < seen[0] + 0.1


@pytest.mark.parametrize(
    ("mine", "theirs", "slots", "waits"),
    [(URGENT, BATCH, 2, True), (URGENT, URGENT, 2, False), (BATCH, USUAL, 2, False), (URGENT, BATCH, 1, False)],
)
def test_a_call_that_is_still_to_come_waits_for_who_is_more_urgent(
    mine: int, theirs: int, slots: int, *, waits: bool
) -> None:
    """Who has come while the step was under way, if there is a slot for him."""
    box = Box(slots)
    box.ask(100, theirs)
    box.step()
    assert box.scheduler.yields(box.scheduler.plan(), mine) is waits


@pytest.mark.parametrize(
    ("theirs", "slots", "below"),
    [
        ((BATCH,), 2, BATCH),
        ((USUAL,), 2, -math.inf),
        ((BATCH + 1, BATCH), 3, BATCH),
        ((BATCH, BATCH), 2, -math.inf),  # there is no slot for anybody
        ((BATCH, USUAL), 3, -math.inf),
    ],
)
def test_a_call_ends_early_where_nobody_waits_for_what_comes_of_it(
    theirs: tuple[int, ...], slots: int, below: float
) -> None:
    """For whoever is more urgent than all that are served in it."""
    box = Box(slots)
    for priority in theirs:
        box.ask(100, priority)
    box.scheduler.admit()
    assert box.scheduler.preempted_by(box.scheduler.plan()) == below


def test_no_two_calls_in_a_row_end_early() -> None:
    """However many urgent ones come: the next call that is not theirs is carried out."""
    box = Box(2)
    batch = box.ask(4, BATCH)
    box.run(batch)
    for _ in range(2):
        assert box.scheduler.preempted_by(box.scheduler.plan()) == BATCH
        box.scheduler.preempted()
        box.run(box.ask(4, URGENT, answer=1))
        assert box.scheduler.preempted_by(box.scheduler.plan()) == -math.inf
        assert box.step().keys() == {batch}


def test_a_turn_of_those_who_were_passed_over_does_not_end_early() -> None:
    """They have it because the urgent ones had theirs."""
    box = Box(3, Shares(), machine=QUICK)
    batch = box.ask(4_000, BATCH)
    box.step()
    box.ask(20_000, URGENT)
    box.step()
    for _ in range(40):
        rows = box.scheduler.plan()
        if any(box.seats[row.slot] == batch for row in rows):
            assert box.scheduler.preempted_by(rows) == -math.inf
            return
        box.step()
    raise AssertionError("it has none")


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
    """An urgent request waits at every step, and everybody gets through; whoever runs is passed over for four times as
    long as the turn of those who are, half a second at least, and what the last step of it takes; whoever is less
    urgent than usual for some seconds more.
    """
    box = Box(slots, Shares(alone=128, beside=beside, wide=wide))
    mine = {box.ask(size, priority, answer): answer for size, priority, answer in ours}
    served_at, longest = dict.fromkeys(mine, 0.0), 0.0
    for _ in range(ENOUGH):
        if all(box.said[number] == answer for number, answer in mine.items()):
            return
        if box.scheduler.waiting < 3:
            box.ask(urgent[0], URGENT, answer=urgent[1])
        began = box.now
        served = box.step()
        longest = max(longest, box.now - began)
        for number, answer in mine.items():
            runs = 0 < box.said[number] < answer and number in box.seats.values()
            if not runs or number in served:
                served_at[number] = box.now
            lent_s = LENT_S if box.asked_as[number] > USUAL else 0.0
            assert box.now - served_at[number] <= max(TURN_S, IN_A_ROW * longest) + longest + lent_s
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
