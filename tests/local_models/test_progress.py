"""Whether an engine gets on, from two looks at its figures."""

from dataclasses import replace

import pytest
from msgspec import structs

from local_models.progress import Progress
from local_models.types import EngineMetrics

AT_WORK = EngineMetrics(at=100.0, running=2, waiting=1, kv_usage=0.25, generation_tokens=7)


def test_requests_that_run_without_a_step_stand_still() -> None:
    """Since the last look that showed something new; when it was taken is nothing new."""
    first = Progress().seen(AT_WORK, 10.0)
    later = first.seen(structs.replace(AT_WORK, at=105.0), 15.0)
    assert (first.stood_still(10.0), later.stood_still(15.0)) == (0.0, 5.0)


@pytest.mark.parametrize(
    "figures",
    [
        structs.replace(AT_WORK, generation_tokens=8),
        structs.replace(AT_WORK, kv_usage=0.26),
        structs.replace(AT_WORK, running=0),
        structs.replace(AT_WORK, running=None),
        None,
    ],
    ids=["a token", "a piece of a prompt", "nothing to do", "unknown", "no figures"],
)
def test_anything_else_is_not_standing_still(figures: EngineMetrics | None) -> None:
    """Every step moves something, and of what is not said nothing is concluded."""
    seen = replace(Progress().seen(AT_WORK, 10.0)).seen(figures, 15.0)
    assert seen.stood_still(15.0) == 0.0
    assert seen.seen(figures, 16.0).stood_still(16.0) == (1.0 if figures is not None and figures.running else 0.0)
