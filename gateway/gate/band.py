"""How wrong forecasts have lately been: the empirical distribution of observed ÷ foretold."""

import bisect
import math
from collections import deque
from collections.abc import Iterable
from statistics import NormalDist
from typing import Final

_SIZE: Final = 100
_PRIOR: Final = 25
_PRIOR_SIGMA: Final = 0.4
_MOST: Final = 8.0


class ErrorBand:
    """The last hundred ratios. Before any is known they are those of a wide lognormal: unknown widens the margin."""

    def __init__(self, ratios: Iterable[float] = (), *, guessed: bool = True) -> None:
        """`ratios` are those of an earlier life, oldest first. Not `guessed`: where there are none, there are none yet,
        and nothing is to be asked of it.
        """
        self._ratios = deque(ratios, maxlen=_SIZE)
        if guessed and not self._ratios:
            self._ratios.extend(_prior())
        self._sorted = sorted(self._ratios)

    def __len__(self) -> int:
        return len(self._ratios)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Oldest first."""
        return tuple(self._ratios)

    @property
    def usual(self) -> float:
        """The ratio that nine in ten stay below."""
        return self._sorted[len(self._sorted) * 9 // 10]

    @property
    def most(self) -> float:
        """The ratio that none has been above."""
        return self._sorted[-1]

    def observe(self, foretold: float, observed: float) -> None:
        """What was foretold came out like this; both are above zero."""
        ratio = min(_MOST, observed / foretold)
        if len(self._ratios) == _SIZE:
            del self._sorted[bisect.bisect_left(self._sorted, self._ratios[0])]
        self._ratios.append(ratio)
        bisect.insort(self._sorted, ratio)

    def exceeds(self, foretold: float, limit: float) -> float:
        """The chance that what is foretold comes out above `limit`; never quite 0, for the next may be the worst."""
        above = len(self._sorted) - bisect.bisect_right(self._sorted, limit / foretold)
        return (above + 0.5) / (len(self._sorted) + 1)


def _prior() -> Iterable[float]:
    normal = NormalDist(0.0, _PRIOR_SIGMA)
    return (math.exp(normal.inv_cdf((place + 0.5) / _PRIOR)) for place in range(_PRIOR))
