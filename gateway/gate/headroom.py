"""Which share of an engine each class may fill, so that those above it find room when they come."""

import math
from types import MappingProxyType
from typing import Final

from gateway.types import Priority

_SHARES: Final = MappingProxyType({Priority.INTERACTIVE: 1.0, Priority.NORMAL: 0.85, Priority.BATCH: 0.65})
_LENT_AFTER_S: Final = 10.0


class Headroom:
    """The part kept for higher classes is lent to lower ones while no higher one has come for ten seconds."""

    def __init__(self) -> None:
        self._seen: dict[Priority, tuple[float, float]] = {}

    def arrived(self, priority: Priority, first_s: float | None, now: float) -> None:
        """Somebody of this class is here, with this objective for the first token."""
        self._seen[priority] = (now, math.inf if first_s is None else first_s)

    def room(self, priority: Priority, slots: int, now: float) -> tuple[int, float]:
        """Slots that this class may fill at present, and seconds of prompts: its share of both, and at least a slot.

        What a prompt of a lower class takes is time that the first token of a higher one may have to wait.
        """
        lent = [first for each, (at, first) in self._seen.items() if each > priority and now - at < _LENT_AFTER_S]
        if not lent:
            return slots, math.inf
        share = _SHARES[priority]
        return max(1, int(share * slots)), share * min(lent)
