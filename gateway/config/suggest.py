"""The nearest valid name to a mistaken one."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_CUTOFF = 0.6
_LONGEST = 64
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def nearest(word: str, known: Iterable[str], *, cutoff: float = _CUTOFF) -> str | None:
    """The member of `known` most like `word`, or None where nothing is.

    Case and separators do not count. A name whose words are a part of the other's (`url` and `base_url`) is near too,
    however much longer the other is. `cutoff` in [0, 1] is the likeness (difflib's ratio) below which nothing is said.
    """
    if not word or len(word) > _LONGEST:
        return None
    wanted = _words(word)
    scored = ((_likeness(wanted, _words(name)), name) for name in sorted(set(known)) if name != word)
    best = max(scored, default=(0.0, ""), key=lambda pair: pair[0])
    return best[1] if best[0] >= cutoff else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(part for part in _SEPARATORS.split(text.lower()) if part)


def _likeness(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    ratio = SequenceMatcher(None, "_".join(one), "_".join(other), autojunk=False).ratio()
    if one and other and (set(one) <= set(other) or set(other) <= set(one)):
        return max(ratio, _CUTOFF)
    return ratio
