"""What is kept for higher classes, and lent."""

import math

from gateway.gate.headroom import Headroom
from gateway.types import Priority


def test_a_class_alone_has_everything() -> None:
    """Nobody is above: all slots, and any prompt."""
    headroom = Headroom()
    headroom.arrived(Priority.BATCH, None, 0.0)
    assert headroom.room(Priority.BATCH, 8, 0.0) == (8, math.inf)


def test_what_is_kept_for_a_higher_class_is_lent_while_it_stays_away() -> None:
    """Ten seconds after the last of them the lower class may fill it all; the highest always may."""
    headroom = Headroom()
    headroom.arrived(Priority.INTERACTIVE, 2.0, 100.0)
    assert headroom.room(Priority.BATCH, 8, 101.0) == (5, 1.3)
    assert headroom.room(Priority.NORMAL, 8, 101.0) == (6, 1.7)
    assert headroom.room(Priority.INTERACTIVE, 8, 101.0) == (8, math.inf)
    assert headroom.room(Priority.BATCH, 8, 109.9)[0] == 5
    assert headroom.room(Priority.BATCH, 8, 110.0) == (8, math.inf)


def test_a_class_is_never_left_without_a_slot() -> None:
    """Of one slot 65 % is one."""
    headroom = Headroom()
    headroom.arrived(Priority.INTERACTIVE, None, 0.0)
    assert headroom.room(Priority.BATCH, 1, 0.0) == (1, math.inf)


def test_more_is_kept_where_higher_classes_have_wanted_more_at_once() -> None:
    """Six at once in the last seconds, of whom those who are there have theirs; and twenty seconds later no more. Batch
    work leaves a quarter of all slots besides, for the next burst.
    """
    headroom = Headroom()
    headroom.arrived(Priority.INTERACTIVE, 2.0, 100.0, under_way=5)
    headroom.arrived(Priority.INTERACTIVE, 2.0, 101.0)
    assert headroom.room(Priority.BATCH, 8, 101.0)[0] == 1
    assert headroom.room(Priority.NORMAL, 8, 101.0)[0] == 2
    assert headroom.room(Priority.BATCH, 8, 101.0, above=2)[0] == 2
    assert headroom.room(Priority.NORMAL, 8, 101.0, above=2)[0] == 4
    assert headroom.room(Priority.BATCH, 8, 101.0, above=7)[0] == 5
    assert headroom.room(Priority.BATCH, 4, 101.0)[0] == 1
    headroom.arrived(Priority.INTERACTIVE, 2.0, 110.5)
    assert headroom.room(Priority.NORMAL, 8, 110.5)[0] == 2
    headroom.arrived(Priority.INTERACTIVE, 2.0, 121.0)
    assert headroom.room(Priority.BATCH, 8, 121.0)[0] == 5


def test_what_two_higher_classes_have_wanted_is_kept_once() -> None:
    """The lower of them counted those of the higher one, too."""
    headroom = Headroom()
    headroom.arrived(Priority.INTERACTIVE, 2.0, 100.0, under_way=3)
    headroom.arrived(Priority.NORMAL, 4.0, 100.0, under_way=5)
    assert headroom.room(Priority.BATCH, 16, 101.0) == (6, 1.3)
