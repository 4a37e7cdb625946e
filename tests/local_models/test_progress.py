"""Whether an engine gets on, from two looks at its figures."""

import math
from dataclasses import replace

import pytest
from msgspec import structs

from local_models.policy import Policy
from local_models.progress import Gait, Progress
from local_models.types import EngineMetrics

AT_WORK = EngineMetrics(at=100.0, running=2, waiting=1, kv_usage=0.25, generation_tokens=7)


@pytest.mark.parametrize("running", [2, 0])
def test_without_a_step_the_figures_stand_still(running: int) -> None:
    """Since the last look that showed something new; when it was taken is nothing new."""
    figures = structs.replace(AT_WORK, running=running)
    first = Progress().seen(figures, 10.0)
    later = first.seen(structs.replace(figures, at=105.0), 15.0)
    assert (first.stood_still(10.0), later.stood_still(15.0)) == (0.0, 5.0)
    assert later.idle is (running == 0)


@pytest.mark.parametrize(
    "figures",
    [
        structs.replace(AT_WORK, generation_tokens=8),
        structs.replace(AT_WORK, kv_usage=0.26),
        structs.replace(AT_WORK, running=0),
    ],
    ids=["a token", "a piece of a prompt", "an end"],
)
def test_each_step_moves_one_of_them(figures: EngineMetrics) -> None:
    """And from then on they may stand still again."""
    moved = Progress().seen(AT_WORK, 10.0).seen(figures, 15.0)
    assert moved.stood_still(15.0) == 0.0
    assert moved.seen(figures, 16.0).stood_still(16.0) == 1.0


@pytest.mark.parametrize("figures", [None, structs.replace(AT_WORK, running=None)])
def test_of_what_is_unknown_nothing_is_concluded(figures: EngineMetrics | None) -> None:
    """However long it stays so."""
    unknown = Progress().seen(AT_WORK, 10.0).seen(figures, 15.0).seen(figures, 99.0)
    assert unknown.stood_still(99.0) == 0.0


def test_whoever_stood_still_himself_holds_it_against_nobody() -> None:
    """An engine that he did not look at for a minute has made no step for as long as he looked at it."""
    before = Progress().seen(AT_WORK, 10.0).seen(AT_WORK, 11.0, 1)
    after = before.excused(60.0).seen(AT_WORK, 72.0, 1)
    assert after.stood_still(72.0) == before.stood_still(12.0) == 1.0
    assert (after.figures, after.in_flight) == (before.figures, 1)


POLICY = Policy(stall_limit=4.0, quiet_limit=30.0)
IDLE = structs.replace(AT_WORK, running=0, waiting=0)


@pytest.mark.parametrize(
    ("figures", "in_flight", "stood_still", "gait"),
    [
        (AT_WORK, 0, 1.9, Gait.WELL),
        (AT_WORK, 0, 2.0, Gait.STILL),
        (IDLE, 0, 29.0, Gait.WELL),
        (IDLE, 0, 30.0, Gait.QUIET),
        (IDLE, 0, 37.9, Gait.QUIET),
        (IDLE, 0, 38.0, Gait.STILL),
        (IDLE, 3, 1.9, Gait.WELL),
        (IDLE, 3, 2.0, Gait.QUIET),
        (IDLE, 3, 6.0, Gait.STILL),
        (None, 3, 99.0, Gait.WELL),
    ],
)
def test_what_follows_from_standing_still(
    figures: EngineMetrics | None, in_flight: int, stood_still: float, gait: Gait
) -> None:
    """One that says it works is suspected at half the limit; one that seems idle is asked first, and soon if there are
    requests in flight to it: it says what was so after its last step.
    """
    progress = Progress().seen(figures, 100.0, in_flight).seen(figures, 100.0 + stood_still, in_flight)
    assert progress.gait(100.0 + stood_still, POLICY) is gait


def test_work_begins_with_the_first_request() -> None:
    """Having had nothing to do before is no standing still."""
    idle = Progress().seen(IDLE, 10.0).seen(IDLE, 35.0)
    begun = idle.seen(IDLE, 36.0, 1)
    assert (begun.stood_still(36.0), begun.seen(IDLE, 40.0, 2).stood_still(40.0)) == (0.0, 4.0)


def test_without_a_limit_nothing_is_concluded() -> None:
    """Whose steps may take as long as they do is never suspected."""
    progress = Progress().seen(AT_WORK, 0.0, 1)
    assert progress.gait(1e6, replace(POLICY, stall_limit=None, quiet_limit=math.inf)) is Gait.WELL
