"""From a request to a `Classification`."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from gateway.classify.difficulty import Difficulty
from gateway.classify.lexicon import DIFFICULTY, TASKS, Lexicon
from gateway.classify.measures import Reading
from gateway.classify.tasks import REASONING, TaskRule, detect
from gateway.messages import ChatRequest
from gateway.types import Classification, Complexity, Signal, TokenCount

# Where P(hard) turns from low to medium, and from medium to high: chosen on the labelled prompts so that errors on
# easy and on hard ones are about equally frequent, and so that what is called high is hard in 19 of 20 cases.
_MEDIUM_FROM = 0.5
_HIGH_FROM = 0.85

# Log-odds a caller's word is worth: enough to move any prompt by one step and most by two.
_NEEDS_REASONING = 4.0
_NEEDS_NONE = -2.0

_ASKED_LENGTH = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+|\d{1,6})[\s-]+(word|page|line|sentence)s?\b")
_TOKENS_PER = MappingProxyType({"word": 1.35, "page": 650.0, "line": 14.0, "sentence": 25.0})
_USUAL_OUTPUT = MappingProxyType({Complexity.LOW: 80, Complexity.MEDIUM: 300, Complexity.HIGH: 700})


class Classifier:
    """Judges requests by the shipped model and the operator's task table."""

    def __init__(self, difficulty: Difficulty, tasks: Mapping[str, TaskRule]) -> None:
        self._difficulty = difficulty
        self._lexicon = Lexicon(DIFFICULTY | TASKS)
        self._tasks = dict(tasks)

    def classify(self, request: ChatRequest, prompt: TokenCount) -> Classification:
        """What the request asks for. `prompt` is its size in tokens."""
        reading = Reading(request.messages, self._lexicon)
        log_odds, signals = self._difficulty.judge(reading)
        hinted = _hinted(request.hints.requires_reasoning)
        if hinted is not None:
            log_odds += hinted.weight
            signals = (hinted, *signals)
        score = 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))
        complexity = _complexity(score, requires_reasoning=request.hints.requires_reasoning)
        task = request.hints.task or detect(request, reading)
        rule = self._tasks.get(REASONING if request.hints.requires_reasoning else task, TaskRule())
        return Classification(
            task=task,
            task_source="hint" if request.hints.task else "detected",
            start=rule.start,
            complexity=complexity,
            score=score,
            p_light=1 - score,
            prompt=prompt,
            expected_output=_asked_length(reading) or rule.expected_output or _USUAL_OUTPUT[complexity],
            signals=signals,
        )


def _hinted(requires_reasoning: bool | None) -> Signal | None:  # noqa: FBT001 - three-valued, as the caller said it
    if requires_reasoning is None:
        return None
    weight = _NEEDS_REASONING if requires_reasoning else _NEEDS_NONE
    return Signal("requires_reasoning", float(requires_reasoning), weight)


def _complexity(score: float, *, requires_reasoning: bool | None) -> Complexity:
    if score >= _HIGH_FROM or requires_reasoning:
        return Complexity.HIGH
    return Complexity.MEDIUM if score >= _MEDIUM_FROM else Complexity.LOW


def _asked_length(reading: Reading) -> int | None:
    """Tokens of an answer whose length the caller asked for, as in "800 words" or "a 1,500-word essay"."""
    plain = reading.instruction.lower()
    # A search for any of the units is much quicker than the one for a number in front of it, and mostly finds none.
    found = _ASKED_LENGTH.search(plain) if any(unit in plain for unit in _TOKENS_PER) else None
    if found is None:
        return None
    return round(int(found[1].replace(",", "")) * _TOKENS_PER[found[2]])
