"""What engines are asked: the same for every engine, and new in every run, so that no run warms the next one.

Answers are long stories told greedily, so that their length is what is asked for. Prompts of a length in tokens are
made of common words, about one token each.
"""

import random
from typing import Any

SYSTEM_WORDS, LONG_WORDS = 920, 3700
TOP_LOGPROBS = 5
_TEXT = (
    "order return item price box letter house river garden window table paper market train music doctor teacher "
    "summer winter morning evening kitchen office street village mountain island forest animal flower bread water "
    "coffee sugar color number question answer reason problem system service company customer product quality "
    "report project result school student family friend mother father brother sister child woman person people "
    "country city history science nature energy power money work time year month week day night hour minute second "
    "place point line side end start always never often little great small large long short early late right left "
    "open close read write speak"
)
_WORDS = tuple(_TEXT.split())


def words(count: int, seed: str) -> str:
    """Some common words, always the same for a seed, in sentences of twelve."""
    chosen = random.Random(seed).choices(_WORDS, k=count)
    return " ".join(word + ("." if place % 12 == 11 else "") for place, word in enumerate(chosen))


def story(seed: str) -> str:
    """A short question with a long answer."""
    chosen = random.Random(seed)
    about = " and a ".join(chosen.sample(_WORDS[:40], 3))
    return f"Tell me a very long story about a {about}, with many chapters."


def system(seed: str) -> str:
    """A system prompt of some 1,000 tokens."""
    return f"You tell stories. Your house rules: {words(SYSTEM_WORDS, seed)}"


def long_question(seed: str) -> str:
    """A question of some 4,000 tokens which begins like no other."""
    return f"{words(LONG_WORDS, seed)} What is this about?"


def body(user: str, tokens: int, *, logprobs: bool = False, system: str | None = None) -> dict[str, Any]:
    """A request for a stream of at most so many tokens."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    asked: dict[str, Any] = {
        "model": "bench",
        "messages": [*messages, {"role": "user", "content": user}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return {**asked, "logprobs": True, "top_logprobs": TOP_LOGPROBS} if logprobs else asked
