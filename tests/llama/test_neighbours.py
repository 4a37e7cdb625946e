"""Which running sequence moves where: by the table."""

import pytest

from local_models.llama.neighbours import move


@pytest.mark.parametrize(
    ("running", "free", "expected"),
    [
        ((), range(8), None),
        ((5,), range(8), None),
        ((3, 4, 5), (0, 1, 2, 6, 7), None),
        ((0, 2), (1, 3), (2, 1)),
        ((0, 1, 3), (2,), (3, 2)),
        ((0, 1, 2, 5), (3, 4, 6), (5, 3)),  # one moves, not three
        ((0, 3, 4), (1, 2, 5), (0, 2)),
        ((0, 1, 3, 4), (2, 5), (4, 2)),
        ((0, 2), (3,), (0, 3)),  # somebody else sits between them
        ((0, 2, 4), (), None),
        ((0, 2, 4, 6), (1, 3), (4, 1)),  # the first of two
        ((0, 2, 4, 6), (1,), None),  # there is no room for four in a row
    ],
)
def test_the_fewest_move_next_to_the_others(
    running: tuple[int, ...], free: tuple[int, ...], expected: tuple[int, int] | None
) -> None:
    """One at a time, into a free slot."""
    assert move(running, free, lambda _: 100) == expected


def test_who_has_least_to_take_along_goes_first() -> None:
    """Of two that have to move, to where there is least to bring back."""
    held = {0: 300, 2: 200, 4: 9, 5: 9, 6: 9, 7: 9, 1: 50, 3: 40}
    assert move((0, 2, 5, 6, 7), (1, 3, 4), held.__getitem__) == (7, 4)


def test_long_streams_stay() -> None:
    """All others would wait for it."""
    assert move((0, 2), (1,), lambda _: 1024) == (2, 1)
    assert move((0, 2), (1,), lambda _: 1025) is None


def test_all_are_neighbours_in_the_end() -> None:
    """From wherever they are, and nobody moves again then."""
    for pattern in range(2**10):
        running = {slot for slot in range(10) if pattern & 1 << slot}
        moves = 0
        while found := move(sorted(running), set(range(10)) - running, lambda slot: slot):
            running.remove(found[0])
            running.add(found[1])
            moves += 1
            assert moves <= 5
        assert not running or max(running) - min(running) == len(running) - 1
