"""What follows an answer: accept it, ask a stronger tier, or give up asking. Pure."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from gateway.errors import Reason
from gateway.types import Candidate, Complexity, Score, Tier

Path = Literal["expected_cost", "next", "premium"]

# P(a mid-tier answer is good enough | the light one was not), by complexity. Starting points until shadow
# evaluation measures them; only their order matters for which target expects to cost less.
_MID_IS_ENOUGH = MappingProxyType({Complexity.LOW: 0.9, Complexity.MEDIUM: 0.75, Complexity.HIGH: 0.5})


class Accept(Struct, frozen=True):
    """The answer is good enough, or there is nothing better to ask."""


class Escalate(Struct, frozen=True):
    """Ask `target`; `reason` is what was wrong with the answer."""

    target: Candidate
    reason: Reason


class GiveUp(Struct, frozen=True):
    """The answer is not good enough, for `reason`, but `because` of this nobody stronger is asked.

    committed: what was wrong showed when its beginning had gone out already.
    """

    reason: Reason
    because: Literal["no_stronger_tier", "not_allowed", "attempts", "cost", "throttled", "committed"]


Decision = Accept | Escalate | GiveUp


Blocked = Literal["not_allowed", "throttled"]


class Progress(Struct, frozen=True, kw_only=True):
    """Where a request stands. `attempts` and `spent_nano` count every physical call so far.

    `blocked` is why this request may not escalate at all, None if it may.
    """

    complexity: Complexity
    attempts: int
    spent_nano: int
    blocked: Blocked | None


class Limits(Struct, frozen=True, kw_only=True):
    """How far one request may go. `threshold` is the lowest score that is accepted."""

    threshold: float
    path: Path
    max_attempts: int
    max_cost_nano: int


def defect(score: Score, threshold: float) -> Reason | None:
    """What is wrong with an answer, or None. A score nobody could form is unknown, and unknown is not low."""
    if score.problem is not None:
        return score.problem
    if score.value is not None and score.value < threshold:
        return Reason.LOW_CONFIDENCE
    return None


def decide(score: Score, tier: Tier, untried: Sequence[Candidate], limits: Limits, progress: Progress) -> Decision:
    """What to do with an answer of `tier` that scored `score`."""
    reason = defect(score, limits.threshold)
    if reason is None:
        return Accept()
    stronger = [candidate for candidate in untried if candidate.tier.rank > tier.rank]
    if not stronger:
        return GiveUp(reason, "no_stronger_tier")
    if progress.blocked is not None:
        return GiveUp(reason, progress.blocked)
    if progress.attempts >= limits.max_attempts:
        return GiveUp(reason, "attempts")
    affordable = [each for each in stronger if progress.spent_nano + each.cost_nano <= limits.max_cost_nano]
    if not affordable:
        return GiveUp(reason, "cost")
    return Escalate(_target(affordable, limits.path, progress.complexity), reason)


def _target(stronger: Sequence[Candidate], path: Path, complexity: Complexity) -> Candidate:
    nearest = min(stronger, key=lambda candidate: candidate.tier.rank)
    top = max(stronger, key=lambda candidate: candidate.tier.rank)
    if path == "next" or nearest.tier is top.tier:
        return nearest
    if path == "premium":
        return top
    # Going to the nearest first pays it, and the top as well whenever the nearest was not enough.
    through_nearest = nearest.cost_nano + (1 - _MID_IS_ENOUGH[complexity]) * top.cost_nano
    return nearest if through_nearest <= top.cost_nano else top
