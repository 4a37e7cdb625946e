"""What `scripts/bench deaths` makes of what it has seen."""

from collections import Counter

from scripts.benchmarks.deaths import Round, document, table
from tests.e2e.deaths import Death

KILL, STOP = "kill -9 of the API server", "SIGSTOP of the engine core"
ROUNDS = [
    Round(STOP, Death(Counter(interrupted=3, elsewhere=41, refused=6), 4.25, 61.0), (), 3400.0),
    Round(KILL, Death(Counter(interrupted=3, elsewhere=41, refused=6), 0.25, 41.0), (), 3400.0),
    Round(KILL, Death(Counter(interrupted=2, elsewhere=42, refused=6), 0.5, 45.0), (4711,), 3500.0),
    Round(KILL, problem="not in 420.0 s: a local answer"),
]


def test_what_is_not_as_it_should_be_is_said() -> None:
    """A caller that was told wrong, or a process that is left."""
    assert [each.problems for each in ROUNDS] == [
        [],
        [],
        [f"{KILL}: processes 4711 are left"],
        [f"{KILL}: not in 420.0 s: a local answer"],
    ]


def test_each_way_has_a_row() -> None:
    """In the order of the ways, whatever was done first; what is unknown is not counted."""
    kills, stops = document(ROUNDS)
    assert (kills["way"], kills["times"], kills["as_it_should"], kills["left"]) == (KILL, 3, 1, 1)
    assert kills["ended"] == {"interrupted": 5, "elsewhere": 83, "refused": 12}
    assert (kills["last_s"], kills["back_s"], kills["back_latest_s"]) == (0.5, 43.0, 45.0)
    assert (stops["way"], stops["as_it_should"], stops["last_s"]) == (STOP, 1, 4.25)


def test_the_table_has_the_same() -> None:
    """A line for each, behind the two of the head."""
    lines = table(ROUNDS).splitlines()
    assert lines[2] == f"| {KILL} | 3 | 1 | 5 | 83 | 12 | 0 | 0.5 | 43.0, 45.0 | 1 | 3500 |"
    assert lines[3] == f"| {STOP} | 1 | 1 | 3 | 41 | 6 | 0 | 4.2 | 61.0, 61.0 | 0 | 3400 |"
    (unknown,) = table([Round(KILL, problem="no")]).splitlines()[2:]
    assert unknown == f"| {KILL} | 1 | 0 | 0 | 0 | 0 | 0 | - | -, - | 0 | 0 |"
