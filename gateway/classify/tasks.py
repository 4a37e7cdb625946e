"""Which kind of work a request is, where the caller did not say, and what the task table says of each kind.

Detection is deliberately plain: a task only matters where the table gives it a start tier, and work that does not
look easy never starts lower for it (see `routing.start_tier`).
"""

from types import MappingProxyType

from msgspec import Struct

from gateway.classify import lexicon
from gateway.classify.measures import Reading
from gateway.messages import ChatRequest
from gateway.types import Tier

_LONG_MATERIAL = 600
_SHORT_QUESTION = 160
_SHORT_GREETING = 8

OTHER = "other"
STRUCTURED = "structured"
SUMMARY = "summary"
REASONING = "reasoning"


class TaskRule(Struct, frozen=True):
    """One row of the task table: where such work starts, and how many tokens its answer usually has."""

    start: Tier | None = None
    expected_output: int | None = None


DEFAULT_TASKS = MappingProxyType(
    {
        "faq": TaskRule(Tier.LIGHT, 80),
        "chat": TaskRule(Tier.LIGHT, 40),
        "formatting": TaskRule(Tier.LIGHT, 150),
        "extraction": TaskRule(Tier.LIGHT, 40),
        "classification": TaskRule(Tier.LIGHT, 10),
        "translation": TaskRule(expected_output=150),
        SUMMARY: TaskRule(Tier.MID, 200),
        STRUCTURED: TaskRule(Tier.MID, 150),
        REASONING: TaskRule(Tier.PREMIUM, 900),
        "writing": TaskRule(expected_output=400),
        "code": TaskRule(expected_output=500),
        "maths": TaskRule(expected_output=300),
        "analysis": TaskRule(expected_output=600),
        OTHER: TaskRule(),
    }
)
"""The task table where the configuration says nothing else. Without a start, complexity alone decides."""


def detect(request: ChatRequest, reading: Reading) -> str:
    """The task by the request's shape and the instruction's words; `other` when nothing fits."""
    if request.response_format is not None and request.response_format.type != "text":
        return STRUCTURED
    for group in lexicon.TASKS:
        if group in reading.groups:
            task = group.removeprefix(lexicon.TASK_PREFIX)
            if task != SUMMARY or len(reading.text) > _LONG_MATERIAL:
                return task
    if reading.maths:
        return "maths"
    if reading.code:
        return "code"
    return _of_form(reading)


def _of_form(reading: Reading) -> str:
    first = reading.tokens[0] if reading.tokens else ""
    text = reading.text.strip()
    if first in lexicon.QUESTION_WORDS and text.endswith("?") and len(text) <= _SHORT_QUESTION and "\n" not in text:
        return "faq"
    return "chat" if first in lexicon.GREETINGS and len(reading.tokens) <= _SHORT_GREETING else OTHER
