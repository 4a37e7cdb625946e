"""How many prompt tokens a step takes beside running sequences. Pure: times are told, not taken.

Every prompt token delays every stream, so their number follows from what has been measured lately: prompts may have
`stretch` - 1 times the time that the streams' own tokens take. Seven streams of SmolLM2-135M on two cores take 40 ms a
step and 55 more with 16 prompt tokens; a larger model, a longer prompt, a busier machine and another number of streams
have other numbers, and are measured as they come, prompt tokens by the position at which they are evaluated.

    narrow   as many tokens as fit into what the streams can spare in one step: none of their steps takes longer than
             `stretch` times what it takes by itself
    wide     64 at once where they cost much less than few: flash attention on a CPU, from some hundred positions on
             (`context` has the figures). Such a step takes several times as long as one without, and no other follows
             before the streams have had their part of the time again. So they keep their rate on average, not step by
             step; and a prompt of thousands of tokens has its first one in two to three times the time that it takes
             alone, where in narrow steps it would wait for minutes
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from local_models.llama.prefixes import WIDE
from local_models.llama.shares import Shares, brief, crowd, share

_MEMORY: Final = 0.2
"""What the latest step counts against all before it."""
_OUTLIER: Final = 2.0
"""No step counts for more than this many times what was expected: the machine had something else to do."""
_DEARER: Final = 2.0
"""A token of a narrow step may cost so many times what it does in a wide one."""
_FADING: Final = 0.98
"""What few tokens cost is forgotten by and by where they are not tried any more."""
_DEEP: Final = 256
"""From this position on a piece of a prompt is evaluated by itself, however short."""
_DEPTHS: Final = 32
_SPARED: Final = 0.2
"""Prompts get so much of the time that the streams' tokens take with all threads, however long they take with half."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is to be evaluated of a prompt: so many tokens, at position `start` and on."""

    start: int
    tokens: int


class Piece(Protocol):
    """Positions of a sequence."""

    @property
    def start(self) -> int:
        """The first."""
        ...

    @property
    def stop(self) -> int:
        """The one after the last."""
        ...


P = TypeVar("P", bound=Piece)


def apart(prompts: Sequence[P]) -> list[tuple[P, ...]]:
    """Pieces of prompts by the calls of llama_decode that they are best evaluated in, apart from running sequences.

    For llama.cpp takes at once as many tokens of each sequence as all have, and as if all were as long as the longest.
    So one token beside 64 of a prompt leaves 63, too few for the kernel for many; and without flash attention seven
    short streams and 16 tokens of a prompt at position 3,000 take 277 ms in one call, where they take 67 and 124.
    """
    alone = [piece for piece in prompts if piece.start >= _DEEP or piece.stop - piece.start >= WIDE]
    return [tuple(piece for piece in prompts if piece not in alone), *((piece,) for piece in alone)]


class _Costs:
    """Seconds of a prompt token by its position: 0 to 63, 64 to 127, 128 to 255, 256 to 511 …"""

    def __init__(self) -> None:
        self._known: list[float | None] = [None] * _DEPTHS

    def observe(self, start: int, seconds: float) -> None:
        depth = _depth(start)
        self._known[depth] = _blend(self._known[depth], seconds)

    def fade(self, start: int) -> None:
        """Nothing was measured here, for it cost too much."""
        depth = _depth(start)
        known = self._known[depth]
        self._known[depth] = None if known is None else _FADING * known

    @property
    def deep(self) -> bool:
        """Whether anything is known from `_DEEP` on, where kernels differ most."""
        return any(cost is not None for cost in self._known[_depth(_DEEP) :])

    def at(self, start: int) -> float | None:
        """Of the nearest depth that is known, the lesser one of two; None where none is."""
        depth = _depth(start)
        known = [(abs(place - depth), place, cost) for place, cost in enumerate(self._known) if cost is not None]
        return min(known)[2] if known else None


class _Speeds:
    """What was measured with so many threads: seconds of a step without prompts by running sequences, and costs."""

    def __init__(self, slots: int) -> None:
        self.decoding: list[float | None] = [None] * (slots + 1)
        self.narrow = _Costs()
        self.wide = _Costs()

    def expected(self, running: int) -> float | None:
        """What a step without prompt tokens takes; that of the nearest count known where this one is not."""
        if (seconds := self.decoding[running]) is not None:
            return seconds
        known = [count for count, seconds in enumerate(self.decoding) if seconds is not None]
        nearest = min(known, key=lambda count: abs(count - running), default=0)
        return self.decoding[nearest]


class Pace:
    """What was measured, and what follows for the next step."""

    def __init__(self, slots: int, shares: Shares) -> None:
        self._shares = shares
        self._wide_allowed = shares.wide and shares.beside >= WIDE
        self._whole = _Speeds(slots)
        self._half = _Speeds(slots)
        self._now = self._whole
        self._owed = 0.0  # seconds that prompts have had and streams have not had their part of yet
        self._turns = 0  # wide steps so far
        self._generous = False  # the step is a crowd's, and owes nothing

    def share(self, *, shared: bool) -> None:
        """Whether a prompt that is evaluated aside has half of the threads in the calls from now on."""
        self._now = self._half if shared else self._whole

    def forgive(self) -> None:
        """What others have taken from the streams is not for a more urgent prompt to make up for."""
        self._owed = 0.0

    def took(self, running: int, prompts: Sequence[Left], seconds: float, *, beside: bool) -> None:
        """A call with a token for each of so many running sequences, and with these pieces of prompts, took so long.

        `beside`: there are running sequences, whether in this call or not.
        """
        if running:
            if not prompts:
                self._now.decoding[running] = _blend(self._now.decoding[running], seconds)
            decoding = self._now.expected(running)
            if decoding is None:
                return
            if self._owed:
                self._owed = max(0.0, self._owed - self._room(running, decoding))
            seconds = max(seconds - decoding, 0.0)
        if prompts:
            self._read(prompts, seconds, beside=beside)

    def beside(self, prompts: Sequence[Left], running: int, *, briefly: bool = False) -> list[int]:
        """How many tokens of each prompt the next step takes; the longest waiting one comes first. `briefly`: others
        wait meanwhile who are more urgent.
        """
        remaining = [prompt.tokens for prompt in prompts]
        whole = brief(remaining) if briefly else share(remaining, self._shares.alone)
        given = crowd(whole, remaining, running, self._shares)
        self._generous = given is not None
        if given is not None:
            return given
        decoding = self._now.expected(running)
        wide = [place for place, prompt in enumerate(prompts) if self._is_wide(prompt)]
        if decoding is None or not prompts or (self._now.narrow.at(0) is None and not wide):
            return share(remaining, min(self._shares.first, self._shares.beside))
        room = self._room(running, decoding)
        # What this step's own tokens are worth is not paid yet.
        even = self._owed <= (1.25 * room)
        given = self._narrow_step(prompts, wide, room if even else room / 2)
        if even:
            self._get_on(prompts, wide, given)
        return given

    def _room(self, running: int, decoding: float) -> float:
        """Seconds that a step may take for prompts, in which the running sequences' own tokens take `decoding`."""
        calm = decoding
        if self._now is self._half:
            # What was measured before is old by now, and with all threads it takes half as long at least.
            calm = max(self._whole.expected(running) or 0.0, decoding / 2)
        return max(self._shares.stretch * calm - decoding, _SPARED * calm)

    def _read(self, prompts: Sequence[Left], seconds: float, *, beside: bool) -> None:
        tokens, start = sum(prompt.tokens for prompt in prompts), max(prompt.start for prompt in prompts)
        wide = self._wide_allowed and min(prompt.tokens for prompt in prompts) >= WIDE
        costs = self._now.wide if wide else self._now.narrow
        expected = costs.at(start)
        if wide or beside:
            costs.observe(start, seconds / tokens)
        if beside and wide:
            self._now.narrow.fade(start)
            self._turns += 1
        if beside:
            self._owed += 0.0 if self._generous else min(seconds, _OUTLIER * tokens * (expected or seconds))

    def _is_wide(self, prompt: Left) -> bool:
        if not self._wide_allowed or prompt.tokens < WIDE:
            return False
        if prompt.start >= _DEEP and prompt.tokens < 2 * WIDE and not self._now.narrow.deep:
            # What few would cost is found out by a prompt that can have 64 at once nevertheless.
            return True
        narrow, wide = self._now.narrow.at(prompt.start), self._now.wide.at(prompt.start) or self._now.narrow.at(0)
        return narrow is not None and wide is not None and narrow > _DEARER * wide

    def _narrow_step(self, prompts: Sequence[Left], wide: list[int], room: float) -> list[int]:
        """Half of the time goes to the first, which therefore always gets on, the rest to the shortest."""
        given = [0] * len(prompts)
        tokens, spare = self._shares.beside, room
        places = [place for place in range(len(prompts)) if place not in wide]
        halves = [(place, room / 2) for place in places[:1]] if len(places) > 1 else []
        for place, most in halves + [(place, room) for place in sorted(places, key=lambda at: prompts[at].tokens)]:
            known = self._now.narrow.at(prompts[place].start)
            cost = known or 0.0
            fit = int(min(most, spare) / cost) if cost else tokens if known is not None else self._shares.first
            more = min(prompts[place].tokens - given[place], tokens, fit)
            given[place] += more
            tokens -= more
            spare -= more * cost
        return given

    def _get_on(self, prompts: Sequence[Left], wide: list[int], given: list[int]) -> None:
        """Nothing is owed: a wide piece may have its turn, the first one's and the shortest one's alternately."""
        if wide:
            place = min(wide, key=lambda at: prompts[at].tokens) if self._turns % 2 else wide[0]
            left = prompts[place].tokens
            given[place] = min(left if left < 2 * WIDE else WIDE, self._shares.beside)
        elif sum(given) < self._shares.least:
            given[:] = share([prompt.tokens for prompt in prompts], min(self._shares.least, self._shares.beside))


def _depth(start: int) -> int:
    return min((start // WIDE).bit_length(), _DEPTHS - 1)


def _blend(before: float | None, seconds: float) -> float:
    if not before:
        return seconds
    return before + _MEMORY * (min(seconds, _OUTLIER * before) - before)
