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
