"""What an answer's words give away: refusal, hedging, repetition, emptiness, and words the operator watches for."""

import re
import zlib
from collections.abc import Sequence

# Only how an answer opens is looked at: "I cannot" further down is usually about the matter, not about the model.
_OPENING = 240
_SORRY = (
    r"^\W*(?:(?:(?:i'?m |i am )?(?:\w+ )?sorry|i apologi[sz]e|my apologies|unfortunately)\b[,.!]* *"
    r"(?:for (?:any|the) (?:confusion|inconvenience),? )?(?:but )?)?"
    r"(?:unfortunately,? )?(?:as an ai(?: language model| assistant)?,? )?"
)
# "I can't help but notice" and "I won't do that again" decline nothing; "I can't access my account" is a customer.
_DECLINED = (
    r"(?:help(?! but\b| \w+ing\b)|assist|answer|provide|do (?:that|this|so)(?! again)|fulfill?|comply|complete|create|"
    r"generate|discuss|engage|respond|process|access (?:the|your|real|external|current|live|files?|websites?))\b"
)
_REFUSAL = re.compile(
    rf"{_SORRY}i ?(?:can ?not|can't|won't|will not|can ?not and will not|can't and won't|"
    rf"(?:am |'m )(?:not able|unable) to) (?:\w+ly |just |be able to )?{_DECLINED}"
    rf"|{_SORRY}i (?:must|have to) decline (?:to|this|that)\b"
    r"|^\W*(?:i'?m|i am) (?:just |only )?an ai\b|^\W*as an ai\b|\bas an ai language model\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:i(?:'m| am) not (?:entirely |quite |completely |really )?(?:sure|certain)|i (?:don't|do not) know|"
    r"i(?:'m| am) unsure|it(?:'s| is) (?:unclear|not clear|hard to say)|i (?:might|may|could) be wrong|"
    r"i (?:can't|cannot) be (?:sure|certain)|not enough information|without more (?:information|context))\b",
    re.IGNORECASE,
)
# What every match of the one, and of the other, has in it. Most answers have nothing of the kind, and are spared a
# search that takes ten times as long.
_REFUSAL_NEEDS = ("can", "won't", "will not", "able", "decline", "an ai")
_HEDGE_NEEDS = ("sure", "certain", "know", "clear", "hard to say", "wrong", "information", "context")
_DEFLATED_FROM = 400
_DEFLATED_TO = 0.18
_TAIL = 1_000
_ROUNDS = 4
_FEWEST_WORDS = 8


def is_refusal(text: str) -> bool:
    """Whether the answer opens with the model declining to answer."""
    opening = _straight(text[:_OPENING])
    return _has_any(opening, _REFUSAL_NEEDS) and _REFUSAL.search(opening) is not None


def hedges(text: str) -> int:
    """How often the answer says that it does not know."""
    straight = _straight(text)
    return len(_HEDGE.findall(straight)) if _has_any(straight, _HEDGE_NEEDS) else 0


def repeats(text: str) -> bool:
    """Whether the answer goes round in circles, at its end or all along.

    A loop at the end is a run of words that comes four times in a row. One all along shows in how far the text
    deflates: what says things once goes to 0.35-0.6 of its size, tables and code not below 0.2.
    """
    raw = text.encode()
    if len(raw) >= _DEFLATED_FROM and len(zlib.compress(raw, 1)) / len(raw) < _DEFLATED_TO:
        return True
    words = text[-_TAIL:].split()
    # Whatever the period, the last word stood one period before.
    return any(
        words[-1 - period] == words[-1] and _periodic(words, period) for period in range(1, len(words) // _ROUNDS + 1)
    )


def _periodic(words: list[str], period: int) -> bool:
    """Whether the last words are one run of `period` words, again and again; single words must come more often."""
    span = max(_ROUNDS * period, _FEWEST_WORDS)
    tail = words[-span:]
    return len(tail) == span and tail[period:] == tail[:-period]


def triggered(text: str, words: Sequence[str]) -> str | None:
    """The first of the operator's `words` (in lower case) that the answer contains."""
    lowered = text.lower() if words else ""
    return next((word for word in words if word in lowered), None)


def _has_any(text: str, words: Sequence[str]) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in words)


def _straight(text: str) -> str:
    """With the apostrophe of typewriters, whichever the model wrote."""
    return text.replace("’", "'")
