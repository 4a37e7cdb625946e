"""What an answer's words give away: refusal, hedging, repetition, emptiness, and words the operator watches for."""

import re
import zlib
from collections.abc import Sequence

# Only how an answer opens is looked at: "I cannot" further down is usually about the matter, not about the model.
_OPENING = 240
_SORRY = r"^\W*(?:(?:i'?m|i am) (?:\w+ )?sorry,? (?:but |for (?:any|the) (?:confusion|inconvenience),? but ))?"
_DECLINED = "help|assist|answer|provide|do|fulfill?|comply|complete|discuss|access|respond|process"
_REFUSAL = re.compile(
    rf"{_SORRY}(?:unfortunately,? )?(?:as an ai(?: language model)?,? )?"
    rf"i ?(?:can(?:no|')t|am (?:not able|unable) to|'m (?:not able|unable) to|won'?t) (?:\w+ ){{0,2}}?(?:{_DECLINED})\b"
    r"|^\W*(?:i'?m|i am) (?:just |only )?an ai\b|^\W*as an ai\b|\bas an ai language model\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:i'?m not (?:entirely |quite |completely )?(?:sure|certain)|i (?:don'?t|do not) know|i (?:am|'m) unsure|"
    r"it is (?:unclear|not clear|hard to say)|i (?:might|may) be wrong|i cannot be (?:sure|certain)|"
    r"not enough information|without more (?:information|context))\b",
    re.IGNORECASE,
)
_LOOP_FROM = 200
_LOOP_RATIO = 0.18


def is_refusal(text: str) -> bool:
    """Whether the answer opens with the model declining to answer."""
    return _REFUSAL.search(text[:_OPENING]) is not None


def hedges(text: str) -> int:
    """How often the answer says that it does not know."""
    return len(_HEDGE.findall(text))


def repeats(text: str) -> bool:
    """Whether the answer goes round in circles.

    Text that says things once deflates to 0.35-0.6 of its size; a loop goes far below. Tables and code do
    not come near the limit.
    """
    raw = text.encode()
    return len(raw) >= _LOOP_FROM and len(zlib.compress(raw, 1)) / len(raw) < _LOOP_RATIO


def triggered(text: str, words: Sequence[str]) -> str | None:
    """The first of the operator's `words` (in lower case) that the answer contains."""
    lowered = text.lower() if words else ""
    return next((word for word in words if word in lowered), None)
