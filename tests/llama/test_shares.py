"""How much of a prompt a step takes: by the table, and on machines that are made of numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from local_models.llama.scheduler import Key, Scheduler
from local_models.llama.shares import Pace, Shares, beside, share, unbroken

STREAMS = 7


@dataclass(frozen=True, slots=True)
class Machine:
    """Seconds of a step: for itself, per running sequence, and per prompt token at a position, beside and alone."""

    step: float
    stream: float
    beside: Callable[[int], float]
    alone: Callable[[int], float]

    def takes(self, running: int, prompt: int, position: int) -> float:
        """One step."""
        token = self.beside if running else self.alone
        return self.step * (running > 0) + self.stream * running + token(position) * prompt


# The first is SmolLM2-135M on two cores, the second a model of some billions, the third one whose attention costs more
# than all the rest once the prompt is long.
MACHINES = [
    Machine(0.012, 0.004, lambda _: 0.0034, lambda _: 0.0036),
    Machine(0.200, 0.030, lambda _: 0.100, lambda _: 0.090),
    Machine(0.012, 0.004, lambda at: 0.003 + at * 1e-6, lambda at: 0.003 + at * 1e-6),
]


def long_prompt(machine: Machine, streams: int) -> tuple[list[float], float]:
    """Steps of a 4,000-token prompt that arrives among so many streams, and what it takes to its first token."""
    scheduler = Scheduler(STREAMS + 1, Shares())
    for job in range(streams):
        scheduler.enqueue(Key(job, 0), np.zeros(8, dtype=np.int32))
    steps: list[float] = []

    def step() -> bool:
        scheduler.admit()
        rows = scheduler.plan()
        prompt = [row for row in rows if row.slot == streams and row.start < 4000]
        tokens = sum(row.stop - row.start for row in prompt)
        running = min(streams, len(rows) - len(prompt))
        seconds = machine.takes(running, tokens, prompt[0].start if prompt else 0)
        steps.append(seconds)
        scheduler.took(rows, seconds)
        scheduler.advance(rows)
        return bool(prompt) and prompt[0].samples

    for _ in range(20):
        step()
    steps.clear()
    scheduler.enqueue(Key(99, 0), np.zeros(4000, dtype=np.int32))
    while not step():
        assert len(steps) < 4001, "the prompt never ends"
    return steps, sum(steps)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_long_prompt_among_streams_delays_them_little_and_gets_on(machine: Machine) -> None:
    """99 of 100 gaps within 2.5 times the undisturbed one, the prompt within 1.5 times its time and what it yields."""
    steps, first = long_prompt(machine, STREAMS)
    undisturbed = machine.takes(STREAMS, 0, 0)
    assert float(np.percentile(steps, 99)) <= 2.5 * undisturbed
    _, alone = long_prompt(machine, 0)
    assert first <= 1.5 * alone + len(steps) * undisturbed


def test_nothing_is_known_at_first() -> None:
    """Sixteen tokens, or fewer where no more are allowed."""
    assert Pace(8, Shares()).beside(3) == 16
    assert Pace(8, Shares(beside=8)).beside(3) == 8


def test_the_share_is_what_fits_into_the_time_that_streams_can_spare() -> None:
    """40 ms a step spare 50 ms, at 5 ms a token; another count of streams is judged by the nearest one known."""
    pace = Pace(8, Shares())
    pace.observe(0.040, running=7, prompt=0)
    pace.observe(0.080, running=7, prompt=8)
    assert pace.beside(7) == pace.beside(8) == 10
    pace.observe(0.010, running=1, prompt=0)
    assert pace.beside(1) == 4
    assert pace.beside(7) == 10


def test_tokens_that_cost_nothing_are_taken_up_to_the_most() -> None:
    """Where a step with a prompt takes no longer than one without."""
    pace = Pace(8, Shares(beside=100))
    pace.observe(0.040, running=7, prompt=0)
    pace.observe(0.040, running=7, prompt=8)
    assert pace.beside(7) == 100


def test_one_step_that_took_very_long_changes_little() -> None:
    """A machine that was busy for a moment; a lasting change is followed."""
    pace = Pace(8, Shares())
    pace.observe(0.040, running=7, prompt=0)
    pace.observe(0.080, running=7, prompt=8)
    pace.observe(10.0, running=7, prompt=8)
    assert pace.beside(7) == 8
    for _ in range(60):
        pace.observe(0.440, running=7, prompt=8)
    assert pace.beside(7) == 4
    for _ in range(60):
        pace.observe(0.060, running=7, prompt=8)
    assert pace.beside(7) in (19, 20)


@pytest.mark.parametrize(
    ("remaining", "budget", "given"),
    [(40, 128, 40), (128, 128, 128), (129, 128, 65), (191, 128, 127), (192, 128, 128), (300, 128, 128), (70, 63, 63)],
)
def test_a_prompt_alone_does_not_end_with_a_small_step(remaining: int, budget: int, given: int) -> None:
    """What is left after a step is nothing, or 64 tokens and more, where that many are taken at once."""
    assert unbroken(remaining, budget) == given


@pytest.mark.parametrize(
    ("remaining", "running", "given"),
    [
        ([15] * 7, 1, [15] * 7),  # seven come to one stream
        ([50] * 3, 4, [50, 50, 28]),  # two of them get their first token, and four wait for it
        ([50] * 3, 5, [10, 0, 0]),
        ([4000], 1, [10]),
        ([4000, 20, 20], 4, [88, 20, 20]),
        ([4000, 20, 20], 5, [5, 5, 0]),
        ([], 3, []),
    ],
)
def test_a_crowd_of_short_prompts_may_hold_up_few_streams(remaining: list[int], running: int, given: list[int]) -> None:
    """A whole step of 128 if half as many get their first token as are held up, else the ten that they can spare."""
    assert beside(remaining, running, Shares(alone=128), 10) == given
    assert beside(remaining, running, Shares(alone=128, crowd=0), 10) == share(remaining, 10)
