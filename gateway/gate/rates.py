"""How fast an engine reads prompts, learnt from what was sent to it, and how wrong its forecasts are."""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gateway.gate.band import ErrorBand
from gateway.gate.entries import TELLING_TOKENS, Entry, ReadingTimes

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
_MARGIN, _MARGIN_S = 1 / 6, 1 / 12
"""Part of the objective that is added to a forecast and to what came of it, before they are compared; seconds where
there is none."""
_GAP_MARGIN, _GAP_MARGIN_S = 0.7, 0.05
"""The same for times between tokens: a prompt that is read in between is many times a token of one stream, and little
of what many take."""
_BESIDE, _CROWD, _BESIDE_LEAST, _BESIDE_STEP = 0.7, 0.5, 0.1, 0.02
"""An engine's speed beside few streams as a share of that alone, and beside many: the first guesses, the least that is
believed, and by how much of an error they follow."""
_FEW: Final = 2
"""So many streams are held up for a prompt as a whole; see `local_models.llama.shares`."""
_OVERTAKEN_STEP: Final = 0.1
_NEWS: Final = 0.9
"""How much of what first tokens have told of the rate is still news after the next one."""
_NEAR, _ENOUGH = 0.6, 20
"""What is foretold for so much of the time between tokens that was promised, and more, has an error band of its own
once there are so many: it hardly comes out longer, for whoever would make it so is not let in then."""
_STALLED, _STALLED_STEP, _STALLS = 0.01, 0.005, 0.001
"""The share of answers that were held up: the first guess, how much the latest counts, and what is worth a thought."""
_FAR: Final = 4.0
"""What is so many times as much as was ever seen is a guess."""


class Learnt(Struct, frozen=True, kw_only=True):
    """What outlives a restart: prompt tokens per second, and the ratios of the error bands: of first tokens, and of the
    time between tokens where that is far below what is promised (`gap`) and where it is `near` it.

    `reach`: the most prompt tokens that were seen to be read. `beside`: the share of the rate that is left beside few
    streams, and `crowd` beside many. `overtaken`: how far prompts are overtaken by shorter ones that come later, from 0
    to 1. Not strictness, which belongs to the load of the hour.
    """

    rate: float
    reach: float = math.inf
    beside: float = _BESIDE
    crowd: float = _CROWD
    overtaken: float = 1.0
    first: tuple[float, ...] = ()
    gap: tuple[float, ...] = ()
    near: tuple[float, ...] = ()


NOTHING: Final = Learnt(rate=_FASTEST, reach=0.0)
"""Of an engine that nobody has seen at work."""


class Rates:
    """Prompt tokens per second, and the error bands of both forecasts.

    Three rates, alone, beside few streams and beside many: engines hold few of them up for a prompt, and read it in
    small pieces beside many. The band has the difference that is left.
    """

    def __init__(self, learnt: Learnt) -> None:
        self.prompt_rate = learnt.rate
        self.reach = learnt.reach
        self.beside = learnt.beside
        self.crowd = learnt.crowd
        self.overtaken = learnt.overtaken
        self._at_once = 0
        self._told = 0.0  # by how much the logarithm of the rate has changed lately, by first tokens
        self._stalled = _STALLED
        self._bias = 0.0
        self._spread = _FIRST_SPREAD
        self.first = ErrorBand(learnt.first)
        self.gap = ErrorBand(learnt.gap)
        self.near = ErrorBand(learnt.near, guessed=False)

    def guessed(self, work: float) -> bool:
        """Whether a forecast for so many prompt tokens is a guess, which nobody is to be sent away by."""
        return work > _FAR * self.reach

    def unknown(self, work: float) -> bool:
        """Whether nobody can say how soon something should come of so many prompt tokens. What is read at once tells
        nothing of the rate, and yet that nothing comes of it for a second is odd.
        """
        return self.guessed(work) and work > _FAR * self._at_once

    @property
    def stalls(self) -> bool:
        """Whether it happens that streams are held up for longer than they were promised between two tokens."""
        return self._stalled > _STALLS

    def among(self, streams: int) -> float:
        """Prompt tokens per second, beside so many streams."""
        return self.prompt_rate * (self.crowd if streams > _FEW else self.beside if streams else 1.0)

    def reading_s(self, work: float, prompt: int, earlier: Sequence[float], streams: int) -> ReadingTimes:
        """How long so much is read alone, beside few streams and beside many, the last of it being a `prompt`. It
        begins beside so many streams, and the `earlier` prompts become some more, one after the other.
        """
        if not earlier or streams > _FEW:
            whole = work / self.among(streams)
            return (0.0, 0.0, whole) if streams > _FEW else (0.0, whole, 0.0) if streams else (whole, 0.0, 0.0)
        tokens = [0.0, 0.0, 0.0]
        for left in (*earlier, prompt):
            tokens[2 if streams > _FEW else 1 if streams else 0] += left
            streams += 1
        alone, few, many = tokens
        per_token = work / (self.prompt_rate * (alone + few + many or 1.0))
        return alone * per_token, few * per_token / self.beside, many * per_token / self.crowd

    def follow(self, share: float) -> None:
        """The engine has so many times its speed, as its cadence tells. What first tokens have told of it before is not
        believed twice.
        """
        news = math.log(share)
        if news * self._told > 0:
            known = math.copysign(min(abs(news), abs(self._told)), news)
            self._told -= known
            news -= known
        self.prompt_rate *= math.exp(news)

    def foretold_s(self, entry: Entry) -> float:
        """Seconds to its first token, by what was foretold when it was sent, and by what has overtaken it since."""
        return entry.foretold_s + self.overtaken * entry.later_s

    def began(self, entry: Entry) -> None:
        """A first token came: compare it with the forecast. The first of its size is believed as it is."""
        telling = _TELLING_S if entry.first_s is None else _TELLING * entry.first_s
        if entry.first_at is None:
            return
        if entry.first_at - entry.sent_at <= _TELLING_S:
            self._at_once = max(self._at_once, entry.work)
        took = max(entry.first_at - entry.sent_at, telling / 10)
        if self.guessed(entry.work):
            if took >= telling or entry.work > took * self.prompt_rate:
                self.prompt_rate = min(_FASTEST, max(_SLOWEST, entry.work / took))
                self.reach = entry.work
            return
        if entry.foretold_s < telling:
            return
        self.reach = max(self.reach, entry.work)
        more = margin(entry.first_s)
        told = self.foretold_s(entry) + more
        self.first.observe(told, took + more)
        error = max(-_CLIP, min(_CLIP, math.log((took + more) / told)))
        self._bias += _SMOOTHING * (error - self._bias)
        self._spread += _SMOOTHING * (abs(error) - self._spread)
        change = -(_LEAST_STEP + _MORE_STEP * abs(self._bias) / self._spread) * error
        self.prompt_rate = min(_FASTEST, max(_SLOWEST, self.prompt_rate * math.exp(change)))
        self._told = _NEWS * self._told + change
        alone, few, many = entry.reading_s
        whole = alone + few + many or 1.0
        self.beside = _share(self.beside, error * (alone - few) / whole)
        self.crowd = _share(self.crowd, error * (alone - many) / whole)
        step = _OVERTAKEN_STEP * entry.later_s / told
        self.overtaken = min(1.0, max(0.0, self.overtaken + step * error))

    def ended(self, entry: Entry, now: float) -> None:
        """An answer is over: compare the time between its tokens with the forecast."""
        if entry.pauses:
            return
        gap = entry.gap(now)
        if entry.gap_s is not None and entry.tokens > 1:
            self._stalled += _STALLED_STEP * ((gap > entry.gap_s) - self._stalled)
        if entry.tokens >= TELLING_TOKENS and gap > 0 and entry.foretold_gap_s > 0:
            more = _gap_margin(entry.gap_s)
            near = entry.gap_s is not None and entry.foretold_gap_s > _NEAR * entry.gap_s
            band = self.near if near else self.gap
            band.observe(entry.foretold_gap_s + more, gap + more)

    def slow(self, foretold_s: float, gap_s: float) -> float:
        """The chance that the time between tokens, of which so much is foretold, comes out above what is promised."""
        more = _gap_margin(gap_s)
        near = foretold_s > _NEAR * gap_s and len(self.near) >= _ENOUGH
        band = self.near if near else self.gap
        return band.exceeds(foretold_s + more, gap_s + more)


def _gap_margin(gap_s: float | None) -> float:
    """What is added to a time between tokens that was promised, and to what came of it."""
    return _GAP_MARGIN_S if gap_s is None else _GAP_MARGIN * gap_s


def _share(known: float, error: float) -> float:
    """A share of the rate, which follows the logarithm of an error."""
    return min(1.0, max(_BESIDE_LEAST, known * math.exp(_BESIDE_STEP * error)))


def margin(first_s: float | None) -> float:
    """What is added to a forecast and to what came of it before they are compared.

    A step more or less is many times a first token that comes at once, which says nothing of one that comes late.
    """
    return _MARGIN_S if first_s is None else _MARGIN * first_s
