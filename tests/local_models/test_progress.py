"""Whether an engine gets on, from two looks at its figures."""

import pytest
from msgspec import structs

from local_models.progress import Progress
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
