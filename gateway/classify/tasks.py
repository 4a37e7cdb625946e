"""Which kind of work a request is, where the caller did not say.

Names are what the task table of the configuration uses. Detection is deliberately narrow: a task only matters
where the table gives it a start tier, and a wrong guess must not send hard work to the light tier.
"""

import re
from types import MappingProxyType

from msgspec import Struct

from gateway.classify.measures import Reading
from gateway.messages import ChatRequest
from gateway.types import Tier

_SUMMARY = re.compile(r"\b(?:summari[sz]e|summary|tl;?dr|zusammenfass\w*|résum\w*|resum\w*)\b", re.IGNORECASE)
_LONG_MATERIAL = 600


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE | re.MULTILINE)


# First match wins: the narrow ones stand before the wide ones.
_PATTERNS = (
    (
        "translation",
        _pattern(
            r"\b(?:translat\w*|übersetz\w*|tradui\w*|traduc\w*)\b",
            r"\b(?:in|into|to) (?:english|french|german|spanish|italian|portuguese|dutch|polish|japanese|chinese)\b",
        ),
    ),
    (
        "classification",
        _pattern(
            r"\b(?:classify|categori[sz]e|sentiment|spam|label (?:this|it|the)|urgent or not|yes or no)\b",
            r"\bpositive,? (?:or )?negative\b",
        ),
    ),
    (
        "extraction",
        _pattern(
            r"\b(?:extract|pull out|find the|get me the)\b",
            r"\bwhat(?:'s| is) the (?:order|invoice|phone|tracking|e-?mail|total|name|date|number|address)\b",
        ),
    ),
    (
        "formatting",
        _pattern(
            r"\b(?:reformat|format (?:this|it|as|the)|capitali[sz]e|title case|upper\s?case|lower\s?case)\b",
            r"\b(?:sort (?:this|these|the)|alphabeti\w*|proofread|bullet points?)\b",
            r"\bfix (?:the |my )?(?:grammar|typos?|spelling|punctuation)\b",
        ),
    ),
    (
        "maths",
        _pattern(
            r"[∫∑√≤≥]|\d\s*[-+*/×÷^=]\s*\d",
            r"\b(?:solve|equation|integral|derivative|probability|prove that|how much is|percent of)\b",
        ),
    ),
    (
        "code",
        _pattern(
            r"```|^\s*(?:def|class|func|fn|import|SELECT)\b",
            r"\b(?:python|javascript|typescript|java|rust|golang|sql|regex|bash|html|css|c\+\+|function)\b",
            r"\b(?:compile[rd]?|stack trace|traceback|unit tests?|git|docker|kubernetes|api endpoint)\b",
        ),
    ),
    (
        "writing",
        _pattern(
            r"\b(?:write|draft|compose|essay|poem|story|blog|letter|e-?mail|speech|tagline|caption|headline|slogan)\b",
            r"\b(?:rewrite|rephrase|reword|subject line)\b",
        ),
    ),
    (
        "analysis",
        _pattern(
            r"\b(?:analy[sz]e|compare|evaluate|assess|trade-?offs?|pros and cons)\b",
            r"\b(?:root cause|forecast|recommend|strategy)\b",
        ),
    ),
    (
        "faq",
        _pattern(
            r"\A\W*(?:what|who|when|where|which|how (?:do|can|much|many|long)|is|are|do|does|can|could)\b"
            r"[^\n]{0,140}\?\s*\Z"
        ),
    ),
    ("chat", _pattern(r"\A\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|thanks?|bye)\b[^\n]{0,40}\Z")),
)

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
    text = reading.instruction
    if len(reading.text) > _LONG_MATERIAL and _SUMMARY.search(text):
        return SUMMARY
    return next((task for task, pattern in _PATTERNS if pattern.search(text)), OTHER)
