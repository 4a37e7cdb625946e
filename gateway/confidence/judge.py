"""One score in [0, 1] for an answer, with what contributed to it."""

import math
from collections.abc import Mapping

from msgspec import Struct

from gateway.confidence.evidence import Calibration, band_of, evidence, trust
from gateway.confidence.structure import structure_holds
from gateway.confidence.text import hedges, is_refusal, repeats, triggered
from gateway.errors import Reason
from gateway.messages import ChatRequest, Choice, Completion, Usage, UsageQuality
from gateway.types import Answerer, Contribution, Score

# Factors, not verdicts: one doubt lowers a score, and what nothing can excuse ends below every sensible threshold.
# Without token evidence an answer that nothing speaks against is good enough, but never beyond doubt.
_UNKNOWN_TOKENS = 0.75
_HEDGING = 0.7
_REPETITION = 0.2
_TRIGGER_WORD = 0.1
_EMPTY = 0.0
_INVALID = 0.1
_REFUSED = 0.2


class _Judged(Struct, frozen=True):
    contributions: tuple[Contribution, ...]
    problem: Reason | None
    valid: bool


class Confidence:
    """Scores answers. Holds the calibration of whoever gives them and the words the operator watches for."""

    def __init__(self, calibrations: Mapping[Answerer, Calibration], trigger_words: tuple[str, ...]) -> None:
        self._calibrations = dict(calibrations)
        self._trigger_words = tuple(word.lower() for word in trigger_words)

    def judge(self, request: ChatRequest, completion: Completion, by: Answerer, *, partial: bool = False) -> Score:
        """The score of an answer given `by` somebody; of several choices, that of the worst. `partial`: not at its
        end.
        """
        judged = [self._choice(request, choice, completion.usage, by, partial=partial) for choice in completion.choices]
        if not judged:
            return Score(value=None)
        worst = judged[0] if len(judged) == 1 else min(judged, key=_rank)
        return Score(
            value=round(_product(worst.contributions), 4),
            contributions=worst.contributions,
            problem=next((each.problem for each in judged if each.problem is not None), None),
            valid=all(each.valid for each in judged),
        )

    def _choice(self, request: ChatRequest, choice: Choice, usage: Usage, by: Answerer, *, partial: bool) -> _Judged:
        contributions = list(self._words(choice, partial=partial))
        problem: Reason | None = None
        valid = True
        tokens = self._tokens(request, choice, by)
        if tokens is None:
            contributions.insert(0, Contribution("tokens_unknown", _UNKNOWN_TOKENS))
        else:
            contributions.insert(0, Contribution("tokens", tokens))
        if any(each.name == "refusal" for each in contributions):
            problem = Reason.REFUSAL
        if not partial:
            if _cut_short(request, choice, usage):
                problem = Reason.TRUNCATED
            holds = structure_holds(request, choice)
            if holds is not None:
                contributions.append(Contribution("structure", 1.0 if holds else _INVALID))
                valid = holds
                problem = problem if holds else Reason.INVALID_STRUCTURE
            if choice.finish_reason == "content_filter":
                problem = Reason.CONTENT_FILTER
        return _Judged(tuple(contributions), problem, valid)

    def _tokens(self, request: ChatRequest, choice: Choice, by: Answerer) -> float | None:
        """Trust by token evidence, or None where it is unknown.

        A grammar forces tokens the model may find unlikely, so under one the raw log-probabilities say nothing.
        """
        calibration = self._calibrations.get(by)
        if calibration is None or request.structured:
            return None
        temperature = request.sampling.temperature
        band = band_of(calibration.default_temperature if temperature is None else temperature)
        floors = calibration.floors.get(band)
        value = evidence(choice)
        return None if floors is None or value is None else trust(value, floors)

    def _words(self, choice: Choice, *, partial: bool) -> list[Contribution]:
        text = choice.text or choice.refusal or ""
        if not text.strip():
            return [] if choice.tool_calls or partial else [Contribution("empty", _EMPTY)]
        found = []
        if choice.refusal or is_refusal(text):
            found.append(Contribution("refusal", _REFUSED))
        elif hedges(text):
            found.append(Contribution("hedging", _HEDGING))
        if repeats(text):
            found.append(Contribution("repetition", _REPETITION))
        if triggered(text, self._trigger_words) is not None:
            found.append(Contribution("trigger_word", _TRIGGER_WORD))
        return found


def _cut_short(request: ChatRequest, choice: Choice, usage: Usage) -> bool:
    """Whether the answer hit a limit that the caller did not set: a stronger tier may have more room."""
    if choice.finish_reason != "length":
        return False
    limit = request.sampling.max_tokens
    if limit is None:
        return True
    if choice.logprobs:
        return len(choice.logprobs) < limit
    # Of several choices only the sum is known: then the caller's limit is taken to be the cause.
    return request.sampling.n == 1 and usage.quality is UsageQuality.EXACT and usage.completion < limit


def _rank(judged: _Judged) -> float:
    return _product(judged.contributions)


def _product(contributions: tuple[Contribution, ...]) -> float:
    return math.prod(contribution.value for contribution in contributions)
