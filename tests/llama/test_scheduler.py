"""Who joins, what a batch holds, who leaves: the step as numbers."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from local_models.llama.rows import Ready, Row
from local_models.llama.scheduler import Scheduler
from local_models.llama.seating import Start
from local_models.llama.seats import Key
from local_models.llama.shares import Shares, share


def scheduler(slots: int = 4, alone: int = 64, beside: int = 8) -> Scheduler:
    """A scheduler with small shares."""
    return Scheduler(slots, Shares(alone=alone, beside=beside))


def prompt(size: int) -> NDArray[np.int32]:
    """A prompt that is like all others."""
    return np.zeros(size, dtype=np.int32)


def seats(starts: tuple[Start, ...]) -> list[tuple[Key, int]]:
    """Who got which slot."""
    return [(start.key, start.place.slot) for start in starts if start.seated]


def step(subject: Scheduler) -> tuple[tuple[Row, ...], tuple[Ready, ...]]:
    """Admit, plan and advance once."""
    subject.admit()
    rows = subject.plan()
    return rows, subject.advance(rows)


def test_an_empty_scheduler_plans_nothing() -> None:
    """No sequences, no batch."""
    subject = scheduler()
    assert step(subject) == ((), ())
    assert (subject.waiting, subject.seated, subject.tokens) == (0, 0, 0)


def test_a_prompt_is_fed_in_chunks_and_its_last_token_samples() -> None:
    """A prompt of 100 tokens takes two steps of at most 64, then one token a step."""
    subject = scheduler()
    subject.enqueue(Key(1, 0), prompt(100))
    assert step(subject) == ((Row(0, 0, 64, samples=False),), ())
    assert step(subject) == ((Row(0, 64, 100, samples=True),), (Ready(0, ()),))
    assert step(subject) == ((Row(0, 100, 101, samples=True),), (Ready(0, ()),))
    assert subject.tokens == 101


def test_running_sequences_get_their_token_and_prompts_a_small_share() -> None:
    """Beside a stream a long prompt advances by eight tokens a step."""
    subject = scheduler()
    subject.enqueue(Key(1, 0), prompt(4))
    step(subject)
    subject.enqueue(Key(2, 0), prompt(100))
    rows, ready = step(subject)
    assert rows == (Row(0, 4, 5, samples=True), Row(1, 0, 8, samples=False))
    assert ready == (Ready(0, ()),)


def test_admission_is_first_come_first_served_into_the_lowest_slot() -> None:
    """Who waited longest takes the slot that was freed; neighbours stay together."""
    subject = scheduler(slots=2)
    for job in (1, 2, 3, 4):
        subject.enqueue(Key(job, 0), prompt(4))
    assert seats(subject.admit()) == [(Key(1, 0), 0), (Key(2, 0), 1)]
    assert subject.waiting == 2
    subject.leave(0)
    assert seats(subject.admit()) == [(Key(3, 0), 0)]
    assert subject.waiting_jobs() == (4,)


def test_choices_of_one_request_share_its_prompt() -> None:
    """The second choice waits for the first one's prompt and continues from a copy of it."""
    subject = scheduler()
    subject.enqueue(Key(1, 0), prompt(10))
    subject.enqueue(Key(1, 1), prompt(10))
    rows, ready = step(subject)
    assert rows == (Row(0, 0, 10, samples=True),)
    assert ready == (Ready(0, (1,)),)
    assert subject.tokens == 20
    rows, ready = step(subject)
    assert rows == (Row(0, 10, 11, samples=True), Row(1, 10, 11, samples=True))
    assert ready == (Ready(0, ()), Ready(1, ()))


def test_a_choice_that_comes_too_late_evaluates_the_prompt_itself() -> None:
    """With one slot the second choice begins after the first has gone."""
    subject = scheduler(slots=1)
    subject.enqueue(Key(1, 0), prompt(10))
    subject.enqueue(Key(1, 1), prompt(10))
    step(subject)
    subject.leave(0)
    assert step(subject) == ((Row(0, 0, 10, samples=True),), (Ready(0, ()),))


def test_a_follower_takes_over_when_its_leader_leaves_early() -> None:
    """The prompt is begun anew, and nobody waits for ever."""
    subject = scheduler(alone=4)
    for choice in range(3):
        subject.enqueue(Key(1, choice), prompt(8))
    step(subject)
    subject.leave(0)
    assert subject.plan() == (Row(1, 0, 4, samples=False),)
    step(subject)
    assert step(subject)[1] == (Ready(1, (2,)),)


def test_withdrawing_names_the_slots_and_empties_the_line() -> None:
    """A request that is given up neither waits nor keeps a slot."""
    subject = scheduler(slots=2)
    for choice in range(3):
        subject.enqueue(Key(1, choice), prompt(4))
    subject.enqueue(Key(2, 0), prompt(4))
    subject.admit()
    held = subject.withdraw(1)
    assert held == (0, 1)
    assert subject.waiting_jobs() == (2,)
    for slot in held:
        subject.leave(slot)
    assert subject.seated == 0


@pytest.mark.parametrize(
    ("remaining", "budget", "given"),
    [
        ([], 64, []),
        ([10], 64, [10]),
        ([100], 64, [64]),
        ([100, 10], 64, [54, 10]),
        ([100, 100, 5], 64, [59, 0, 5]),
        ([10, 200, 100], 64, [10, 0, 54]),
        ([3], 1, [1]),
        ([100, 100], 128, [100, 0]),  # neither is left with fewer than 64, nor begins with fewer
        ([100, 64], 192, [100, 64]),
        ([64, 64], 128, [64, 64]),
        ([4000, 100], 128, [128, 0]),
        ([4000, 130, 20], 192, [106, 66, 20]),
        ([90, 20], 128, [90, 20]),
        ([200, 200], 128, [128, 0]),
    ],
)
def test_half_goes_to_the_oldest_prompt_and_the_rest_to_the_shortest(
    remaining: list[int], budget: int, given: list[int]
) -> None:
    """The oldest always gets on and a short prompt passes a long one; the budget is used but for small pieces."""
    assert share(remaining, budget) == given


class Crowd:
    """Random requests against one scheduler, and what the test knows of them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        shares = Shares(alone=self.dice.randint(1, 40), beside=self.dice.randint(1, 8))
        self.subject = Scheduler(self.dice.randint(1, 5), shares)
        self.present: set[Key] = set()
        self.seats: dict[int, Key] = {}

    def arrive(self, job: int) -> None:
        """A request with up to three choices."""
        size, priority = self.dice.randint(1, 60), self.dice.randint(0, 2)
        for choice in range(self.dice.randint(1, 3)):
            self.present.add(Key(job, choice))
            self.subject.enqueue(Key(job, choice), prompt(size), priority)

    def admit(self) -> None:
        """Note who sits where."""
        for key, slot in seats(self.subject.admit()):
            assert slot not in self.seats
            self.seats[slot] = key

    def give_up(self) -> None:
        """Somebody who sits goes, with all choices of the request."""
        job = self.dice.choice(list(self.seats.values())).job
        for slot in self.subject.withdraw(job):
            self.subject.leave(slot)
            del self.seats[slot]
        self.present = {key for key in self.present if key.job != job}

    def step(self, chance_to_end: float) -> None:
        """One batch; some of those with logits are done."""
        rows = self.subject.plan()
        assert [row.slot for row in rows] == sorted({row.slot for row in rows})
        for ready in self.subject.advance(rows):
            for slot in (ready.slot, *ready.followers):
                if self.dice.random() < chance_to_end:
                    self.subject.leave(slot)
                    self.present.discard(self.seats.pop(slot))


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_everybody_gets_through(seed: int) -> None:
    """Random arrivals, ends and withdrawals: rows never overlap, nobody starves, and the room is free at the end."""
    crowd = Crowd(seed)
    for moment in range(100):
        if crowd.dice.random() < 0.3:
            crowd.arrive(moment)
        crowd.admit()
        if crowd.seats and crowd.dice.random() < 0.1:
            crowd.give_up()
        crowd.step(chance_to_end=0.2)
    for _ in range(4_000):
        crowd.admit()
        crowd.step(chance_to_end=1.0)
        if not crowd.present:
            break
    assert not crowd.present
    assert (crowd.subject.seated, crowd.subject.waiting, crowd.subject.tokens) == (0, 0, 0)
