"""How much of a prompt a step takes beside others: by the table, and on machines that are made of numbers."""

from dataclasses import dataclass

import numpy as np
import pytest

from local_models.llama.pace import Left, Pace, apart
from local_models.llama.rows import Row
from local_models.llama.scheduler import Scheduler
from local_models.llama.seats import Key
from local_models.llama.shares import Shares
from tests.llama.machines import FLASH, LARGE, PLAIN, Machine

STREAMS, LONG, BEFORE = 7, 4000, 60
NARROW = Shares(wide=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What every step took, what it would have taken without the prompt, and how much of the prompt it took."""

    steps: list[float]
    undisturbed: list[float]
    tokens: list[int]


def long_prompt(machine: Machine, streams: int, shares: Shares) -> Outcome:
    """What becomes of a 4,000-token prompt that arrives among so many streams with sixty tokens each."""
    scheduler = Scheduler(STREAMS + 1, shares)
    for job in range(streams):
        scheduler.enqueue(Key(job, 0), np.zeros(8, dtype=np.int32))
    found = Outcome([], [], [])

    def call(rows: tuple[Row, ...]) -> float:
        running = [row for row in rows if row.slot < streams and row.start >= 8]
        prompts = [row for row in rows if row not in running]
        seconds = machine.step(len(running), max(row.start for row in running)) if running else 0.0
        seconds += sum(machine.piece(row.stop - row.start, row.start) for row in prompts)
        scheduler.took(rows, seconds)
        scheduler.advance(rows)
        return seconds

    def step() -> bool:
        scheduler.admit()
        rows = scheduler.plan()
        prompt = [row for row in rows if row.slot == streams]
        found.undisturbed.append(machine.step(streams, rows[0].start) if streams else 0.0)
        found.tokens.append(sum(row.stop - row.start for row in prompt))
        found.steps.append(sum(call(part) for part in scheduler.apart(rows)))
        return any(row.samples for row in prompt)

    for _ in range(BEFORE if streams else 0):
        step()
    for each in (found.steps, found.undisturbed, found.tokens):
        each.clear()
    scheduler.enqueue(Key(99, 0), np.zeros(LONG, dtype=np.int32))
    while not step():
        assert len(found.steps) < LONG, "the prompt never ends"
    assert sum(found.tokens) == LONG
    return found


@pytest.mark.parametrize(
    ("machine", "shares"), [(PLAIN, NARROW), (FLASH, Shares()), (LARGE, Shares())], ids=["plain", "flash", "large"]
)
def test_a_long_prompt_gets_on_and_leaves_streams_their_part_of_the_time(machine: Machine, shares: Shares) -> None:
    """Its first token takes 1.5 times its time alone and what it yields, and the streams 2.5 times theirs in all."""
    among, alone = long_prompt(machine, STREAMS, shares), long_prompt(machine, 0, shares)
    yielded = len(among.steps) * float(np.median(among.undisturbed))
    assert sum(among.steps) <= 1.5 * sum(alone.steps) + yielded
    assert sum(among.steps) <= 2.5 * sum(among.undisturbed)


@pytest.mark.parametrize(("machine", "shares"), [(PLAIN, NARROW), (LARGE, Shares())], ids=["plain", "large"])
def test_a_long_prompt_delays_every_token_little(machine: Machine, shares: Shares) -> None:
    """99 of 100 gaps within 2.5 times the undisturbed ones, where few tokens cost about what many do."""
    among = long_prompt(machine, STREAMS, shares)
    assert float(np.percentile(among.steps, 99)) <= 2.5 * float(np.percentile(among.undisturbed, 99))


def test_where_few_tokens_cost_much_more_the_long_prompt_takes_many_at_once_and_pauses() -> None:
    """Pieces of 64 from some hundred tokens on, and steps with nothing of it in between; no small rest at the end."""
    among = long_prompt(FLASH, STREAMS, Shares())
    later = among.tokens[100:]
    assert sum(tokens for tokens in later if tokens < 64) < 10, "a try at a new depth now and then"
    assert all(64 <= tokens < 128 for tokens in later if tokens >= 10)
    assert later[-1] >= 64
    assert later.count(0) > 2 * (len(later) - later.count(0))
    assert max(among.steps) < 0.8


def known(shares: Shares, *, wide: float | None = None) -> Pace:
    """Seven streams take 40 ms; a prompt token takes 5 ms up to position 512, and from there on ten times that."""
    pace = Pace(8, shares)
    pace.took(7, [], 0.040, beside=True)
    for start, seconds in ((0, 0.040), (512, 0.400)):
        pace.took(0, [Left(start, 8)], seconds, beside=True)
        for _ in range(20):  # what this took is made up for
            pace.took(7, [], 0.040, beside=True)
    if wide is not None:
        pace.took(0, [Left(0, 64)], 64 * wide, beside=False)
    return pace


def test_nothing_is_known_at_first() -> None:
    """Sixteen tokens, or fewer where no more are allowed."""
    assert Pace(8, Shares()).beside([Left(0, 99)], 3) == [16]
    assert Pace(8, Shares(beside=8)).beside([Left(0, 99)], 3) == [8]


@pytest.mark.parametrize(
    ("prompts", "given"),
    [
        ([], []),
        ([Left(0, 99)], [11]),
        ([Left(0, 5)], [5]),
        ([Left(600, 99)], [4]),  # one would fit, but four are the least
        ([Left(0, 99), Left(0, 30)], [5, 6]),  # half for the first, the rest for the shortest
        ([Left(0, 99), Left(0, 3), Left(0, 30)], [5, 3, 3]),
        ([Left(600, 99), Left(0, 30)], [0, 11]),
    ],
)
def test_the_share_is_what_fits_into_the_time_that_streams_can_spare(prompts: list[Left], given: list[int]) -> None:
    """40 ms a step spare 56, at 5 ms a token or at 50."""
    assert known(Shares(crowd=0, wide=False)).beside(prompts, 7) == given


def test_another_count_of_streams_is_judged_by_the_nearest_one_known() -> None:
    """One stream takes 10 ms and spares 14."""
    pace = known(Shares(crowd=0, wide=False))
    assert pace.beside([Left(0, 99)], 8) == [11]
    pace.took(1, [], 0.010, beside=True)
    assert pace.beside([Left(0, 99)], 1) == [4]
    assert pace.beside([Left(0, 99)], 7) == [11]


def test_beside_a_prompt_aside_steps_stay_within_what_they_take_with_all_threads() -> None:
    """40 ms a step allow 96, of which 60 with half of the threads leave 36; where they take 100, all take 50."""
    pace = known(Shares(crowd=0, wide=False, least=1))
    pace.share(shared=True)
    assert pace.beside([Left(0, 99)], 7) == [16]
    pace.took(7, [], 0.060, beside=True)
    pace.took(0, [Left(0, 4)], 0.036, beside=True)
    pace.took(7, [], 0.060, beside=True)
    assert pace.beside([Left(0, 99)], 7) == [4]
    for _ in range(99):
        pace.took(7, [], 0.100, beside=True)
    assert pace.beside([Left(0, 99)], 7) == [2]
    pace.share(shared=False)
    assert pace.beside([Left(0, 99)], 7) == [11]


def test_tokens_that_cost_nothing_are_taken_up_to_the_most() -> None:
    """Where a step with a prompt takes no longer than one without; told by a step that had both in one call."""
    pace = Pace(8, Shares(beside=100))
    pace.took(7, [], 0.040, beside=True)
    pace.took(7, [Left(0, 8)], 0.040, beside=True)
    assert pace.beside([Left(0, 500)], 7) == [100]


@pytest.mark.parametrize(
    ("prompts", "given"),
    [
        ([Left(600, 500)], [64]),
        ([Left(600, 100)], [100]),  # no small rest
        ([Left(600, 50)], [4]),  # too few for it
        ([Left(0, 500)], [11]),  # here few cost no more than many
        ([Left(600, 500), Left(0, 30)], [64, 11]),
        ([Left(600, 500), Left(700, 90)], [64, 0]),  # the first, and the shortest the next time
    ],
)
def test_where_few_tokens_cost_more_than_twice_as_much_a_prompt_gets_64(prompts: list[Left], given: list[int]) -> None:
    """Told from what 64 took."""
    assert known(Shares(crowd=0), wide=0.005).beside(prompts, 7) == given


def test_who_has_little_more_than_64_left_does_not_try_out_what_few_cost() -> None:
    """Far from the beginning, where nothing is known of it: it would be left with a rest that takes long."""
    pace = Pace(8, Shares(crowd=0))
    pace.took(7, [], 0.040, beside=True)
    assert pace.beside([Left(1000, 64), Left(0, 30)], 7) == [64, 16]
    pace.took(0, [Left(0, 8)], 0.040, beside=True)
    pace.took(7, [], 0.040, beside=True)
    assert pace.beside([Left(1000, 64)], 7) == pace.beside([Left(1000, 64), Left(1000, 500)], 7)[:1] == [64]
    assert pace.beside([Left(1000, 500)], 7) == [11]
    assert pace.beside([Left(100, 64)], 7) == [11]
    pace.took(0, [Left(1000, 8)], 0.040, beside=True)
    pace.took(7, [], 0.040, beside=True)
    assert pace.beside([Left(1000, 64)], 7) == [11], "few cost no more than many"


def test_no_wide_step_follows_before_the_streams_had_their_part() -> None:
    """420 ms are seven and a half times what a step of theirs is worth; short prompts get half of that meanwhile."""
    pace = known(Shares(crowd=0), wide=0.005)
    prompts = [Left(664, 500), Left(700, 90)]
    pace.took(0, [Left(600, 64)], 0.420, beside=True)
    for _ in range(7):
        assert pace.beside(prompts, 7) == [0, 0]
        assert pace.beside([*prompts, Left(0, 99)], 7) == [0, 0, 5]
        pace.took(7, [], 0.040, beside=True)
    assert pace.beside(prompts, 7) == [0, 90], "the turn of the shortest"


def test_what_few_tokens_cost_is_tried_again_after_a_long_time() -> None:
    """A machine that was busy when they were tried is no reason to take 64 for ever."""
    pace = known(Shares(crowd=0), wide=0.005)
    given: list[int] = []
    while len(given) < 100 and given[-1:] != [5]:
        given += pace.beside([Left(600, 500)], 7)
        pace.took(0, [Left(600, 64)], 0.320, beside=True)
        for _ in range(7):
            pace.took(7, [], 0.040, beside=True)
    assert given == [*[64] * 80, 5]


def test_what_a_crowd_takes_is_not_made_up_for() -> None:
    """Else whoever comes next would wait for it."""
    pace = known(Shares(), wide=0.005)
    crowd = [Left(0, 15)] * 7
    assert pace.beside(crowd, 7) == [15] * 7
    pace.took(0, crowd, 0.400, beside=True)
    assert pace.beside([Left(600, 500)], 7) == [64]


def test_one_step_that_took_very_long_changes_little() -> None:
    """A machine that was busy for a moment; a lasting change is followed."""
    shares = Shares(wide=False, least=1)
    pace = Pace(8, shares)

    def see(seconds: float, times: int) -> list[int]:
        for _ in range(times):
            pace.took(0, [Left(0, 8)], seconds, beside=True)
            for _ in range(40):
                pace.took(7, [], 0.040, beside=True)
        return pace.beside([Left(0, 99)], 7)

    assert see(0.040, 1) == [11]
    assert see(9.000, 1) == [9]
    assert see(0.400, 60) == [1]
    assert see(0.020, 60) == [22]


def test_rows_are_evaluated_apart_where_llama_cpp_would_cut_or_stretch_them() -> None:
    """Short beginnings of prompts together; 64 tokens, and what lies deep, each by itself."""
    rows = [Row(slot, start, start + size, samples=False) for slot, (start, size) in enumerate([(0, 9), (8, 9)])]
    wide, deep = Row(2, 64, 128, samples=False), Row(3, 256, 257, samples=True)
    assert apart([wide, *rows, deep]) == [tuple(rows), (wide,), (deep,)]
