"""Which share of an engine each class may fill, so that those above it find room when they come."""

import math
from types import MappingProxyType
from typing import Final

from gateway.types import Priority

_SHARES: Final = MappingProxyType({Priority.INTERACTIVE: 1.0, Priority.NORMAL: 0.85, Priority.BATCH: 0.65})
_SPARED: Final = MappingProxyType({Priority.INTERACTIVE: 0.0, Priority.NORMAL: 0.0, Priority.BATCH: 0.25})
"""Part of all slots that a class leaves beside what those above have wanted: batch work holds its slots for long, the
longer the more of the others come, and their next burst may be a larger one."""
_LENT_AFTER_S: Final = 10.0


class _Seen:
    """Of a class: when the last one came, what it was promised, and how many slots it has lately wanted at once."""

    def __init__(self) -> None:
        self.at = -math.inf
        self.first_s = math.inf
        self.wanted = 0
        """The most slots at once, of the last ten to twenty seconds in which somebody came."""
        self._most, self._before, self._since = 0, 0, -math.inf

    def come(self, first_s: float | None, wanted: int, now: float) -> None:
        """One is here, and with it so many slots are wanted."""
        self.at, self.first_s = now, math.inf if first_s is None else first_s
        if now - self._since >= _LENT_AFTER_S:
            self._before = self._most if now - self._since < 2 * _LENT_AFTER_S else 0
            self._most, self._since = 0, now
        self._most = max(self._most, wanted)
        self.wanted = max(self._most, self._before)


class Headroom:
    """The part kept for higher classes is lent to lower ones while no higher one has come for ten seconds.

    It is a fixed share of all slots, or as many as those above have lately wanted at once and some to spare, where that
    is more.
    """

    def __init__(self) -> None:
        self._seen: dict[Priority, _Seen] = {}

    def arrived(self, priority: Priority, first_s: float | None, now: float, under_way: int = 0) -> None:
        """Somebody of this class is here, with this objective for the first token. So many as urgent are under way."""
        seen = self._seen.get(priority)
        if seen is None:
            seen = self._seen[priority] = _Seen()
        seen.come(first_s, under_way + 1, now)

    def room(self, priority: Priority, slots: int, now: float, above: int = 0) -> tuple[int, float]:
        """Up to how many slots may be filled by this class at present, of which those above have so many already, and
        seconds of prompts: its share of both, and at least a slot.

        What a prompt of a lower class takes is time that the first token of a higher one may have to wait.
        """
        wanted, first_s = 0, math.inf
        for each, seen in self._seen.items():
            if each > priority and now - seen.at < _LENT_AFTER_S:
                wanted = max(wanted, seen.wanted)
                first_s = min(first_s, seen.first_s)
        if not wanted:
            return slots, math.inf
        share, kept = _SHARES[priority], max(0, wanted + int(_SPARED[priority] * slots) - above)
        return max(1, min(int(share * slots), slots - kept)), share * first_s
