"""Where a step ends early for whoever got a first token, and that nobody's prompt starves by it: call by call."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from local_models.llama.rows import Row
from local_models.llama.scheduler import Scheduler
from local_models.llama.seats import Key
from local_models.llama.shares import Shares
from tests.llama.machines import FLASH

LONG, SHORT, ENOUGH = 1_000, 20, 200


class Course:
    """A scheduler whose calls are carried out as the owner thread does."""

    def __init__(self, slots: int = 4, shares: Shares | None = None) -> None:
        self.scheduler = Scheduler(slots, shares or Shares())
        self.left: dict[Key, int] = {}
        self.began: set[Key] = set()
        self.seats: dict[int, Key] = {}
        self.drops: dict[int, int] = {}
        """How often in a row a piece of each request's prompt was planned and not evaluated."""
        self._jobs = itertools.count(1)

    def ask(self, size: int, answer: int, priority: int = 0, choices: int = 1) -> int:
        """A request arrives; its number."""
        job = next(self._jobs)
        self.drops[job] = 0
        for choice in range(choices):
            self.left[Key(job, choice)] = answer
            self.scheduler.enqueue(Key(job, choice), np.zeros(size, dtype=np.int32), priority)
        return job

    def step(self) -> list[dict[int, int]]:
        """Plan a step and carry it out: of every call the tokens that were evaluated of each request."""
        for start in self.scheduler.admit():
            self.seats[start.place.slot] = start.key
        calls, carried_out = [*reversed(self.scheduler.apart(self.scheduler.plan()))], []
        while calls:
            rows = calls.pop()
            carried_out.append({self.seats[row.slot].job: row.stop - row.start for row in rows})
            self.drops |= dict.fromkeys(carried_out[-1], 0)
            self.scheduler.took(rows, self._seconds(rows))
            for ready in self.scheduler.advance(rows):
                self._say((ready.slot, *ready.followers))
            left, calls = calls, self.scheduler.rest(calls)
            for row in (row for call in left if call not in calls for row in call):
                self.drops[self.seats[row.slot].job] += 1
        return carried_out

    def run(self, job: int) -> None:
        """Until a request has its first token."""
        while Key(job, 0) not in self.began:
            self.step()

    def _say(self, slots: Sequence[int]) -> None:
        for slot in slots:
            key = self.seats[slot]
            self.began.add(key)
            self.left[key] -= 1
            if not self.left[key]:
                self.scheduler.leave(slot)
                del self.seats[slot]

    def _seconds(self, rows: tuple[Row, ...]) -> float:
        prompts = [row for row in rows if self.seats[row.slot] not in self.began]
        if not prompts:
            return FLASH.step(len(rows), max(row.start for row in rows))
        return sum(FLASH.piece(row.stop - row.start, row.start) for row in prompts)


@pytest.mark.parametrize(
    ("answer", "priority", "choices", "drops"),
    [
        (2, 0, 1, True),
        (2, -1, 1, True),
        (2, 0, 2, True),
        (1, 0, 1, False),  # the answer is over
        (2, 1, 1, False),  # nobody waits for its second token
    ],
)
def test_whoever_has_a_first_token_and_goes_on_ends_the_step(
    answer: int, priority: int, choices: int, *, drops: bool
) -> None:
    """Else what was planned of the other prompt is evaluated before the second token."""
    course = Course()
    course.ask(LONG, 1, priority)
    short = course.ask(SHORT, answer, priority, choices)
    first, *rest = course.step()
    assert first == {short: SHORT}
    assert bool(rest) is not drops
    if drops:
        assert course.step()[0] == {short: 1}


def test_a_choice_that_goes_on_ends_the_step_though_its_leader_is_over() -> None:
    """They have the same first token, and one of them may end with it."""
    course = Course()
    course.ask(LONG, 1)
    short = course.ask(SHORT, 1, choices=2)
    course.left[Key(short, 1)] = 2
    assert course.step() == [{short: SHORT}]
    assert course.step()[0] == {short: 1}


def test_whose_piece_was_dropped_goes_before_short_prompts() -> None:
    """The next time it has one."""
    course = Course()
    long, short = course.ask(LONG, 1), course.ask(SHORT, 2)
    assert course.step() == [{short: SHORT}]
    other = course.ask(SHORT, 2)
    running, piece, last = course.step()
    assert (running, [*piece], last) == ({short: 1}, [long], {other: SHORT})
    another = course.ask(SHORT, 2)
    assert course.step() == [{other: 1}, {another: SHORT}]


@pytest.mark.parametrize(("answer", "steps"), [(2, 20), (3, 20), (5, 40), (20, 70)])
def test_a_long_prompt_gets_on_every_other_time_however_many_short_ones_come(answer: int, steps: int) -> None:
    """One in every step, each of which would end it before the long one's piece. Where their answers are longer, the
    pace has it pause besides.
    """
    course = Course()
    long = course.ask(LONG, 1)
    got_on: list[bool] = []
    while Key(long, 0) not in course.began:
        assert len(got_on) < steps, "it starves"
        course.ask(SHORT, answer)
        got_on.append(any(long in call for call in course.step()))
        assert course.drops[long] <= 1
    if answer < 5:
        assert all(one or other for one, other in itertools.pairwise(got_on))


def test_of_several_that_were_dropped_who_came_first_goes_first() -> None:
    """And those behind it are not forgotten, though the step ends before theirs."""
    course = Course(shares=Shares(alone=256))
    jobs = [course.ask(64, 9) for _ in range(3)]
    assert course.step() == [{jobs[0]: 64}]
    course.ask(SHORT, 9)
    for place in (1, 2):
        calls = course.step()
        assert [*calls[1]] == [jobs[place]]


def test_a_turn_of_those_who_were_passed_over_is_carried_out() -> None:
    """It is short, and would not come again for long."""
    course = Course(8)
    batch = course.ask(4 * LONG, 1, priority=1)
    course.step()
    turns = 0
    for _ in range(ENOUGH):
        course.ask(SHORT, 3)
        turns += any(batch in call for call in course.step())
    assert turns > 2
