"""How fast an engine reads prompts, learnt from what was sent to it, and how wrong its forecasts are."""

import math
from typing import Final

from msgspec import Struct

from gateway.gate.band import ErrorBand
from gateway.gate.inflight import Entry

_LEAST_STEP, _MORE_STEP, _SMOOTHING = 0.02, 0.3, 0.1
"""The rate follows errors that have one sign in large steps, and others in small ones (Trigg and Leach, 1967)."""
_SLOWEST, _FASTEST = 0.1, 1e7
_FIRST_SPREAD: Final = 0.1
_CLIP: Final = 1.386
"""The logarithm of 4: no single error counts for more."""
_TELLING: Final = 0.1
"""A first token foretold within this part of its objective tells more about the way there than about the rate."""
_TELLING_S: Final = 0.05
"""The same where there is no objective."""


_FAR: Final = 4.0
"""What is so many times as much as was ever seen is a guess."""


class Learnt(Struct, frozen=True, kw_only=True):
    """What outlives a restart: prompt tokens per second, and the ratios of both error bands.

    `reach`: the most prompt tokens that were seen to be read. Not strictness, which belongs to the load of the hour.
    """

    rate: float
    reach: float = math.inf
    first: tuple[float, ...] = ()
    gap: tuple[float, ...] = ()


NOTHING: Final = Learnt(rate=_FASTEST, reach=0.0)
"""Of an engine that nobody has seen at work."""


class Rates:
    """Prompt tokens per second, and the error bands of both forecasts.

    One rate, though an engine reads more slowly beside streams: rates by the number of streams, tried on the simulated
    engine, kept less than a point more of the tokens and broke more promises while the speed drifted. The band has
    the difference.
    """

    def __init__(self, learnt: Learnt) -> None:
        self.prompt_rate = learnt.rate
        self.reach = learnt.reach
        self._bias = 0.0
        self._spread = _FIRST_SPREAD
        self.first = ErrorBand(learnt.first)
        self.gap = ErrorBand(learnt.gap)

    def guessed(self, work: float) -> bool:
        """Whether a forecast for so many prompt tokens is a guess, which nobody is to be sent away by."""
        return work > _FAR * self.reach

    def began(self, entry: Entry) -> None:
        """A first token came: compare it with the forecast. The first of its size is believed as it is."""
        telling = _TELLING_S if entry.first_s is None else _TELLING * entry.first_s
        if entry.first_at is None:
            return
        took = max(entry.first_at - entry.sent_at, telling / 10)
        if self.guessed(entry.work):
            if took >= telling or entry.work > took * self.prompt_rate:
                self.prompt_rate = min(_FASTEST, max(_SLOWEST, entry.work / took))
                self.reach = entry.work
            return
        if entry.foretold_s < telling:
            return
        self.reach = max(self.reach, entry.work)
        self.first.observe(entry.foretold_s, took)
        error = max(-_CLIP, min(_CLIP, math.log(took / entry.foretold_s)))
        self._bias += _SMOOTHING * (error - self._bias)
        self._spread += _SMOOTHING * (abs(error) - self._spread)
        step = _LEAST_STEP + _MORE_STEP * abs(self._bias) / self._spread
        self.prompt_rate = min(_FASTEST, max(_SLOWEST, self.prompt_rate * math.exp(-step * error)))

    def ended(self, entry: Entry, now: float) -> None:
        """An answer is over: compare the time between its tokens with the forecast."""
        gap = entry.gap(now)
        if gap > 0 and entry.foretold_gap_s > 0:
            self.gap.observe(entry.foretold_gap_s, gap)
