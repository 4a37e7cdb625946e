"""The two rates, by the words of DESIGN §5.

Escalation rate = escalated requests ÷ all requests: every outcome counts below the line, also one that was refused
or whose caller hung up; above it, those for which a stronger tier was asked because an answer was not good enough,
however that ended. A fallback is no escalation.

Routing effectiveness = accepted light answers ÷ light attempts: every physical call of the light tier counts below
the line, also one that failed, broke off, or whose caller hung up, because each was a decision to try the light tier
first. Above it, light answers that were accepted: found good enough, not merely sent because nobody stronger could
be asked or had failed, and gone out whole.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gateway.errors import Code, Reason
from gateway.messages import Usage
from gateway.outcome import AttemptRecord, AttemptStatus, Outcome, OutcomeStatus
from gateway.telemetry import Metrics
from gateway.types import Tier
from tests.gateway.nouns import ATTEMPT, OUTCOME, change
from tests.gateway.telemetry.samples import samples


def call(status: AttemptStatus, tier: Tier = Tier.LIGHT) -> AttemptRecord:
    """A physical call."""
    return change(ATTEMPT, tier=tier, backend=f"some-{tier}", status=status)


ANSWERED, SUPERSEDED = call(AttemptStatus.ANSWERED), call(AttemptStatus.SUPERSEDED)
INTERRUPTED, CANCELLED = call(AttemptStatus.INTERRUPTED), call(AttemptStatus.CANCELLED)
FAILED = change(call(AttemptStatus.FAILED), error=Reason.UPSTREAM_ERROR, usage=Usage())
MID, MID_FAILED = call(AttemptStatus.ANSWERED, Tier.MID), call(AttemptStatus.FAILED, Tier.MID)

LIGHT = change(OUTCOME, answer=ANSWERED, attempts=(ANSWERED,))
ACCEPTED = {
    "the light answer was good enough": LIGHT,
    "it was, of the second light backend": change(LIGHT, attempts=(FAILED, ANSWERED)),
}
NOT_ACCEPTED = {
    "a stronger tier's answer went out": change(OUTCOME, answer=MID, attempts=(SUPERSEDED, MID), escalated=True),
    "the escalation failed": change(LIGHT, attempts=(ANSWERED, MID_FAILED), escalated=True),
    "the caller forbade to escalate": change(LIGHT, gave_up="not_allowed"),
    "there was nobody stronger": change(LIGHT, gave_up="no_stronger_tier"),
    "there were no attempts left": change(LIGHT, gave_up="attempts"),
    "there was no money left": change(LIGHT, gave_up="cost"),
    "too many escalate": change(LIGHT, gave_up="throttled"),
    "the light call failed and mid answered": change(OUTCOME, answer=MID, attempts=(FAILED, MID)),
    "everything failed": change(
        OUTCOME, status=OutcomeStatus.REFUSED, code=Code.UPSTREAM_ERROR, answer=None, attempts=(FAILED,)
    ),
    "it broke off in the middle": change(
        OUTCOME, status=OutcomeStatus.INTERRUPTED, answer=INTERRUPTED, attempts=(INTERRUPTED,)
    ),
    "the caller hung up before it": change(OUTCOME, status=OutcomeStatus.CANCELLED, answer=None, attempts=(CANCELLED,)),
    "the caller hung up in the middle": change(
        OUTCOME, status=OutcomeStatus.CANCELLED, answer=CANCELLED, attempts=(CANCELLED,)
    ),
    "the caller hung up at the end": change(OUTCOME, status=OutcomeStatus.CANCELLED, answer=ANSWERED),
}
WITHOUT_LIGHT = {
    "work that began at mid": change(OUTCOME, answer=MID, attempts=(MID,)),
    "a request that was refused at once": change(
        OUTCOME, status=OutcomeStatus.REFUSED, code=Code.MODEL_NOT_FOUND, answer=None, attempts=()
    ),
}


def metrics_of(*outcomes: Outcome) -> tuple[Metrics, CollectorRegistry]:
    """Metrics that have counted these."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, ())
    for outcome in outcomes:
        metrics.record(outcome)
    return metrics, registry


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_light_answer(name: str) -> None:
    """One above the line; below it, every light call that was made."""
    outcome = ACCEPTED[name]
    metrics, _ = metrics_of(outcome)
    assert metrics.routing_effectiveness == 1 / outcome.attempt_count


@pytest.mark.parametrize("name", NOT_ACCEPTED)
def test_a_light_attempt_without_an_accepted_answer(name: str) -> None:
    """It counts below the line alone."""
    metrics, _ = metrics_of(NOT_ACCEPTED[name])
    assert metrics.routing_effectiveness == 0.0


@pytest.mark.parametrize("name", WITHOUT_LIGHT)
def test_where_no_light_call_was_made(name: str) -> None:
    """It has no part in the effectiveness."""
    assert metrics_of(WITHOUT_LIGHT[name])[0].routing_effectiveness is None
    assert metrics_of(LIGHT, WITHOUT_LIGHT[name])[0].routing_effectiveness == 1.0


def test_every_request_is_below_the_line_of_the_escalation_rate() -> None:
    """Whatever became of it."""
    every = (*ACCEPTED.values(), *NOT_ACCEPTED.values(), *WITHOUT_LIGHT.values())
    metrics, _ = metrics_of(*every)
    assert metrics.escalation_rate == 2 / len(every)


@pytest.mark.parametrize("status", OutcomeStatus)
def test_an_escalation_counts_however_it_ends(status: OutcomeStatus) -> None:
    """Answered, refused, interrupted or hung up on: the stronger tier was asked."""
    metrics, registry = metrics_of(change(OUTCOME, escalated=True, status=status))
    assert metrics.escalation_rate == 1.0
    assert samples(registry)["forebay_escalations_total"] == 1.0


def test_two_escalations_of_one_request_are_one() -> None:
    """The rate is of requests."""
    premium = call(AttemptStatus.ANSWERED, Tier.PREMIUM)
    mid = call(AttemptStatus.SUPERSEDED, Tier.MID)
    twice = change(OUTCOME, escalated=True, answer=premium, attempts=(SUPERSEDED, mid, premium))
    assert metrics_of(twice, LIGHT)[0].escalation_rate == 0.5


def test_without_requests_there_are_no_rates() -> None:
    """None, and no sample."""
    metrics, registry = metrics_of()
    assert (metrics.escalation_rate, metrics.routing_effectiveness, metrics.blended_cost_usd) == (None, None, None)
    assert "forebay_escalation_rate" not in samples(registry)


EVERY = tuple({**ACCEPTED, **NOT_ACCEPTED, **WITHOUT_LIGHT}.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(EVERY), min_size=1, max_size=40))
def test_the_gauges_are_quotients_of_the_counters(outcomes: list[Outcome]) -> None:
    """So that whoever divides the counters over a window computes the same rates."""
    metrics, registry = metrics_of(*outcomes)
    found = samples(registry)
    requests = sum(value for name, value in found.items() if name.startswith("forebay_requests_total"))
    light = sum(
        value for name, value in found.items() if name.startswith("forebay_attempts_total") and 'tier="light"' in name
    )
    assert requests == len(outcomes)
    assert found["forebay_escalation_rate"] == metrics.escalation_rate
    assert metrics.escalation_rate == found["forebay_escalations_total"] / requests
    if light:
        assert found["forebay_routing_effectiveness"] == metrics.routing_effectiveness
        assert metrics.routing_effectiveness == found["forebay_light_accepted_total"] / light
    else:
        assert "forebay_routing_effectiveness" not in found
