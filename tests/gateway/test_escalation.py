"""What follows an answer: accept, ask somebody stronger, or give up and say why."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Reason
from gateway.escalation import Accept, Decision, Escalate, GiveUp, Limits, Path, Progress, decide, defect
from gateway.types import TIERS, Candidate, Complexity, Score, Tier
from tests.gateway.nouns import CANDIDATE, change

LIGHT, MID, PREMIUM = TIERS
LIMITS = Limits(threshold=0.5, path="expected_cost", max_attempts=3, max_cost_nano=1_000)
PROGRESS = Progress(complexity=Complexity.LOW, attempts=1, spent_nano=0, blocked=None)
GOOD, POOR, UNKNOWN = Score(value=0.9), Score(value=0.2), Score(value=None)

BOX = change(CANDIDATE, backend="box", tier=LIGHT)
MINI = change(CANDIDATE, backend="mini", tier=MID, cost_nano=100)
MAXI = change(CANDIDATE, backend="maxi", tier=MID, cost_nano=100)
BIG = change(CANDIDATE, backend="big", tier=PREMIUM, cost_nano=500)
ALL = (MINI, MAXI, BIG)

DEFECTS: list[tuple[Score, Reason | None]] = [
    (GOOD, None),
    (Score(value=0.5), None),
    (Score(value=0.4999), Reason.LOW_CONFIDENCE),
    (Score(value=0.0), Reason.LOW_CONFIDENCE),
    (UNKNOWN, None),
    (Score(value=None, problem=Reason.TRUNCATED), Reason.TRUNCATED),
    (Score(value=0.99, problem=Reason.REFUSAL), Reason.REFUSAL),
    (Score(value=0.1, problem=Reason.INVALID_STRUCTURE, valid=False), Reason.INVALID_STRUCTURE),
]

DECISIONS: list[tuple[Score, Tier, tuple[Candidate, ...], Limits, Progress, Decision]] = [
    (GOOD, LIGHT, ALL, LIMITS, PROGRESS, Accept()),
    (UNKNOWN, LIGHT, ALL, LIMITS, PROGRESS, Accept()),
    (GOOD, LIGHT, (), LIMITS, change(PROGRESS, attempts=9, blocked="throttled"), Accept()),
    (POOR, LIGHT, ALL, LIMITS, PROGRESS, Escalate(MINI, Reason.LOW_CONFIDENCE)),
    (Score(value=0.9, problem=Reason.REFUSAL), LIGHT, ALL, LIMITS, PROGRESS, Escalate(MINI, Reason.REFUSAL)),
    (POOR, MID, ALL, LIMITS, PROGRESS, Escalate(BIG, Reason.LOW_CONFIDENCE)),
    # Every cause of giving up, and which is told where several hold.
    (POOR, PREMIUM, (), LIMITS, PROGRESS, GiveUp(Reason.LOW_CONFIDENCE, "no_stronger_tier")),
    (POOR, MID, (BOX, MAXI), LIMITS, PROGRESS, GiveUp(Reason.LOW_CONFIDENCE, "no_stronger_tier")),
    (POOR, LIGHT, (BOX,), LIMITS, PROGRESS, GiveUp(Reason.LOW_CONFIDENCE, "no_stronger_tier")),
    (
        POOR,
        LIGHT,
        ALL,
        LIMITS,
        change(PROGRESS, blocked="not_allowed"),
        GiveUp(Reason.LOW_CONFIDENCE, "not_allowed"),
    ),
    (POOR, LIGHT, ALL, LIMITS, change(PROGRESS, blocked="throttled"), GiveUp(Reason.LOW_CONFIDENCE, "throttled")),
    (POOR, LIGHT, ALL, LIMITS, change(PROGRESS, attempts=3), GiveUp(Reason.LOW_CONFIDENCE, "attempts")),
    (POOR, LIGHT, ALL, LIMITS, change(PROGRESS, attempts=4), GiveUp(Reason.LOW_CONFIDENCE, "attempts")),
    (POOR, LIGHT, ALL, LIMITS, change(PROGRESS, attempts=2), Escalate(MINI, Reason.LOW_CONFIDENCE)),
    (POOR, LIGHT, ALL, LIMITS, change(PROGRESS, spent_nano=901), GiveUp(Reason.LOW_CONFIDENCE, "cost")),
    (POOR, MID, ALL, LIMITS, change(PROGRESS, spent_nano=501), GiveUp(Reason.LOW_CONFIDENCE, "cost")),
    (
        Score(value=None, problem=Reason.TRUNCATED),
        LIGHT,
        (),
        LIMITS,
        change(PROGRESS, blocked="throttled", attempts=9),
        GiveUp(Reason.TRUNCATED, "no_stronger_tier"),
    ),
    (
        POOR,
        LIGHT,
        ALL,
        LIMITS,
        change(PROGRESS, blocked="not_allowed", attempts=9, spent_nano=9_999),
        GiveUp(Reason.LOW_CONFIDENCE, "not_allowed"),
    ),
    (
        POOR,
        LIGHT,
        ALL,
        LIMITS,
        change(PROGRESS, attempts=9, spent_nano=9_999),
        GiveUp(Reason.LOW_CONFIDENCE, "attempts"),
    ),
    # The limit of cost holds for all attempts together, the next one included, and to the nano-dollar.
    (POOR, LIGHT, ALL, LIMITS, change(PROGRESS, spent_nano=900), Escalate(MINI, Reason.LOW_CONFIDENCE)),
    (POOR, MID, ALL, LIMITS, change(PROGRESS, spent_nano=500), Escalate(BIG, Reason.LOW_CONFIDENCE)),
    (
        POOR,
        LIGHT,
        (change(MINI, cost_nano=2_000), MAXI),
        LIMITS,
        PROGRESS,
        Escalate(MAXI, Reason.LOW_CONFIDENCE),
    ),
    (
        POOR,
        LIGHT,
        (change(MINI, cost_nano=2_000), BIG),
        LIMITS,
        PROGRESS,
        Escalate(BIG, Reason.LOW_CONFIDENCE),
    ),
]

# Going to mid first expects to cost mid + (1 - P(mid is enough)) × premium, with P = .9, .75, .5 by complexity.
TARGETS: list[tuple[Path, Complexity, int, int, str]] = [
    ("next", Complexity.LOW, 1_000, 1, "mini"),
    ("premium", Complexity.LOW, 1, 1_000, "big"),
    ("expected_cost", Complexity.LOW, 100, 500, "mini"),
    ("expected_cost", Complexity.LOW, 450, 500, "mini"),
    ("expected_cost", Complexity.LOW, 451, 500, "big"),
    ("expected_cost", Complexity.MEDIUM, 375, 500, "mini"),
    ("expected_cost", Complexity.MEDIUM, 376, 500, "big"),
    ("expected_cost", Complexity.HIGH, 250, 500, "mini"),
    ("expected_cost", Complexity.HIGH, 251, 500, "big"),
    ("expected_cost", Complexity.HIGH, 0, 0, "mini"),
    ("expected_cost", Complexity.HIGH, 600, 500, "big"),
    ("expected_cost", Complexity.HIGH, 0, 500, "mini"),
]
"""Path, complexity, cost of mid and of premium; then who is asked."""


@pytest.mark.parametrize(("score", "reason"), DEFECTS)
def test_what_is_wrong_with_an_answer(score: Score, reason: Reason | None) -> None:
    """A problem counts whatever the value; the threshold itself is good enough; unknown is not low."""
    assert defect(score, 0.5) is reason


@pytest.mark.parametrize(("score", "tier", "untried", "limits", "progress", "decision"), DECISIONS)
def test_what_follows_an_answer(
    score: Score, tier: Tier, untried: tuple[Candidate, ...], limits: Limits, progress: Progress, decision: Decision
) -> None:
    """One row per case, every cause of giving up included."""
    assert decide(score, tier, untried, limits, progress) == decision


def test_every_cause_of_giving_up_is_in_the_table() -> None:
    """A new cause without a row would show here."""
    causes = {decision.because for *_, decision in DECISIONS if isinstance(decision, GiveUp)}
    assert causes == {"no_stronger_tier", "not_allowed", "attempts", "cost", "throttled"}


@pytest.mark.parametrize(("path", "complexity", "mid", "premium", "name"), TARGETS)
def test_whom_to_ask_next(path: Path, complexity: Complexity, mid: int, premium: int, name: str) -> None:
    """The next tier, the top, or whichever expects to cost less until the answer is good."""
    limits = change(LIMITS, path=path, max_cost_nano=10**9)
    untried = (change(MINI, cost_nano=mid), change(BIG, cost_nano=premium))
    decision = decide(POOR, LIGHT, untried, limits, change(PROGRESS, complexity=complexity))
    assert isinstance(decision, Escalate)
    assert decision.target.backend == name


@pytest.mark.parametrize("path", ["next", "premium", "expected_cost"])
def test_within_a_tier_the_first_is_asked(path: Path) -> None:
    """The order of the configuration is the order of fallback, on every path."""
    limits = change(LIMITS, path=path, max_cost_nano=10**9)
    other = change(BIG, backend="other", cost_nano=1)
    assert decide(POOR, LIGHT, (change(MINI, cost_nano=900), MAXI), limits, PROGRESS) == Escalate(
        change(MINI, cost_nano=900), Reason.LOW_CONFIDENCE
    )
    assert decide(POOR, LIGHT, (BIG, other), limits, PROGRESS) == Escalate(BIG, Reason.LOW_CONFIDENCE)


CANDIDATES = st.lists(
    st.builds(
        lambda tier, cost, name: change(CANDIDATE, backend=name, tier=tier, cost_nano=cost),
        st.sampled_from(TIERS),
        st.integers(0, 2_000),
        st.text("abc", min_size=1, max_size=3),
    ),
    max_size=5,
).map(tuple)
SCORES = st.builds(
    lambda value, problem: Score(value=value, problem=problem),
    st.none() | st.floats(0, 1),
    st.none() | st.sampled_from([Reason.REFUSAL, Reason.TRUNCATED]),
)


@given(SCORES, st.sampled_from(TIERS), CANDIDATES, st.sampled_from(["next", "premium", "expected_cost"]), st.data())
@settings(max_examples=300, deadline=None)
def test_nobody_weaker_dearer_or_already_asked_is_ever_chosen(
    score: Score, tier: Tier, untried: tuple[Candidate, ...], path: Path, data: st.DataObject
) -> None:
    """Whatever the state: a target is stronger, affordable, among the untried, and within the attempts."""
    progress = change(
        PROGRESS,
        complexity=data.draw(st.sampled_from(list(Complexity))),
        attempts=data.draw(st.integers(1, 4)),
        spent_nano=data.draw(st.integers(0, 1_500)),
        blocked=data.draw(st.sampled_from([None, "not_allowed", "throttled"])),
    )
    decision = decide(score, tier, untried, change(LIMITS, path=path), progress)
    if isinstance(decision, Escalate):
        assert decision.target in untried
        assert decision.target.tier.rank > tier.rank
        assert progress.spent_nano + decision.target.cost_nano <= LIMITS.max_cost_nano
        assert progress.attempts < LIMITS.max_attempts
        assert progress.blocked is None
    assert isinstance(decision, Accept) == (defect(score, LIMITS.threshold) is None)
