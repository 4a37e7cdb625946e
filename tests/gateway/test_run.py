"""A request under way, and the one outcome it ends in, for each way it can end."""

import time

import msgspec
import pytest

from gateway.errors import (
    AttemptError,
    Broken,
    Code,
    Reason,
    Refused,
    Rejected,
    RequestError,
    TimedOut,
    Unavailable,
    Unreachable,
)
from gateway.messages import ChatRequest, Hints, Usage, UsageQuality
from gateway.outcome import AttemptRecord, AttemptStatus, Outcome, OutcomeStatus, PassedOver
from gateway.run import Arrival, Attempt, Decided, Run, refused
from gateway.types import Candidate, Route, Score, Tier
from tests.gateway.nouns import CANDIDATE, CLASSIFICATION, CONSTRAINTS, IDENTITY, REQUEST, USAGE, change

MID = Candidate(backend="mini", tier=Tier.MID, reason=Reason.MEDIUM_COMPLEXITY, cost_nano=7)
ASKED = change(
    REQUEST,
    id="r-9",
    requested_model="gpt-4o-mini",
    stream=True,
    hints=Hints(region="eu-west", session="s-1"),
    ignored=("store", "audio"),
)
DECIDED = Decided(
    request=ASKED,
    constraints=CONSTRAINTS,
    classification=CLASSIFICATION,
    route=Route(candidates=(CANDIDATE, MID), excluded=(), pinned=False),
    took_s=0.0004,
)
FATES = {
    OutcomeStatus.OK: AttemptStatus.SUPERSEDED,
    OutcomeStatus.REFUSED: AttemptStatus.SUPERSEDED,
    OutcomeStatus.INTERRUPTED: AttemptStatus.SUPERSEDED,
    OutcomeStatus.CANCELLED: AttemptStatus.CANCELLED,
}
"""What becomes of a complete answer that did not go out."""


def arrival() -> Arrival[ChatRequest]:
    """Somebody has just asked."""
    return Arrival.now(ASKED, IDENTITY, "0123456789ab")


def run_with(*attempts: Attempt) -> Run:
    """A request for which these calls were made."""
    run = Run(arrival(), DECIDED)
    run.attempts += attempts
    return run


def answered(
    number: int = 1, candidate: Candidate = CANDIDATE, *, usage: Usage = USAGE, cost_nano: int = 20
) -> Attempt:
    """A complete answer, whose fate is open."""
    attempt = Attempt(number, candidate, candidate.reason, "small")
    attempt.usage, attempt.cost_nano = usage, cost_nano
    attempt.model, attempt.finish_reason = f"{candidate.backend}-1.0", "stop"
    attempt.score = Score(value=0.75)
    attempt.ended()
    return attempt


def failed(number: int = 1, error: AttemptError | None = None) -> Attempt:
    """A call that brought nothing."""
    attempt = Attempt(number, CANDIDATE, CANDIDATE.reason, None)
    attempt.ended(AttemptStatus.FAILED, error or Broken("small: the stream broke"))
    return attempt


def statuses(outcome: Outcome) -> list[AttemptStatus]:
    """How its calls ended."""
    return [attempt.status for attempt in outcome.attempts]


def test_what_was_asked_stands_in_every_outcome() -> None:
    """Who asked what and when, under which policy, decided or not."""
    before = time.time()
    run = run_with(answered())
    unknown = RequestError("no such model", code=Code.MODEL_NOT_FOUND, status=404)
    for outcome in (
        run.outcome(OutcomeStatus.OK, run.attempts[0]),
        run.outcome(OutcomeStatus.CANCELLED, None, http_status=499),
        refused(arrival(), unknown),
    ):
        assert (outcome.request_id, outcome.requested_model, outcome.stream) == ("r-9", "gpt-4o-mini", True)
        assert (outcome.tenant, outcome.key, outcome.sla_class) == ("acme", "ci", "pro")
        assert (outcome.region, outcome.session, outcome.policy) == ("eu-west", "s-1", "0123456789ab")
        assert before <= outcome.started_at <= time.time()
        assert 0 <= outcome.latency_s <= time.time() - before


def test_ok() -> None:
    """The winner is the answer, and its record the one that stands among the attempts."""
    run = run_with(answered())
    run.ttft_s = 0.25
    outcome = run.outcome(OutcomeStatus.OK, run.attempts[0])
    assert (outcome.status, outcome.code, outcome.http_status) == (OutcomeStatus.OK, None, 200)
    assert outcome.answer is outcome.attempts[0]
    assert statuses(outcome) == [AttemptStatus.ANSWERED]
    assert (outcome.classification, outcome.decision_s, outcome.ttft_s) == (CLASSIFICATION, 0.0004, 0.25)
    assert (outcome.escalated, outcome.gave_up, outcome.passed_over) == (False, None, ())


def test_ok_after_others() -> None:
    """What failed has failed, what was not good enough is superseded; all of it costs."""
    run = run_with(failed(1), answered(2, cost_nano=30), answered(3, MID, cost_nano=400))
    run.escalated = True
    outcome = run.outcome(OutcomeStatus.OK, run.attempts[2])
    assert statuses(outcome) == [AttemptStatus.FAILED, AttemptStatus.SUPERSEDED, AttemptStatus.ANSWERED]
    assert outcome.answer is outcome.attempts[2]
    assert (outcome.cost_nano, run.spent_nano, outcome.attempt_count) == (430, 430, 3)
    assert outcome.escalated


def test_a_held_answer_goes_out_after_all() -> None:
    """The stronger tier has failed: the light answer is the answer, and says why it had to be."""
    run = run_with(answered(1), failed(2))
    run.escalated, run.gave_up = True, "attempts"
    outcome = run.outcome(OutcomeStatus.OK, run.attempts[0])
    assert statuses(outcome) == [AttemptStatus.ANSWERED, AttemptStatus.FAILED]
    assert outcome.answer is outcome.attempts[0]
    assert (outcome.escalated, outcome.gave_up) == (True, "attempts")


def test_refused_after_everybody_failed() -> None:
    """No answer; the calls that were made, and the candidates that never started, are told apart."""
    run = run_with(failed(1, Unreachable("small: cannot connect")))
    full = Rejected("mini is full", reason=Reason.NO_CAPACITY)
    run.failed(CANDIDATE, Unreachable("small: cannot connect"))
    run.failed(MID, full)
    outcome = run.outcome(OutcomeStatus.REFUSED, None, code=Code.UPSTREAM_ERROR, http_status=502)
    assert (outcome.status, outcome.code, outcome.http_status) == (
        OutcomeStatus.REFUSED,
        Code.UPSTREAM_ERROR,
        502,
    )
    assert outcome.answer is None
    assert statuses(outcome) == [AttemptStatus.FAILED]
    assert outcome.passed_over == (PassedOver("mini", Tier.MID, Reason.NO_CAPACITY, "mini is full"),)
    assert run.errors[1] is full


def test_refused_before_anything_was_decided() -> None:
    """By the error that the caller gets: nothing was classified, nobody asked, nothing spent."""
    error = RequestError("no such model", code=Code.MODEL_NOT_FOUND, status=404)
    outcome = refused(arrival(), error)
    assert (outcome.status, outcome.code, outcome.http_status) == (OutcomeStatus.REFUSED, Code.MODEL_NOT_FOUND, 404)
    assert (outcome.answer, outcome.attempts, outcome.passed_over, outcome.cost_nano) == (None, (), (), 0)
    assert (outcome.classification, outcome.decision_s, outcome.ttft_s) == (None, None, None)
    assert (outcome.escalated, outcome.gave_up) == (False, None)
    assert outcome.ignored == ("store", "audio")
    busy = refused(arrival(), Unavailable("busy", code=Code.NO_CAPACITY, status=429, retry_after=1.0))
    assert (busy.code, busy.http_status) == (Code.NO_CAPACITY, 429)


def test_interrupted() -> None:
    """The half of an answer that went out is the answer; the status line had said 200."""
    broken = failed(1)
    broken.status = AttemptStatus.INTERRUPTED
    run = run_with(broken)
    outcome = run.outcome(OutcomeStatus.INTERRUPTED, broken, code=Code.UPSTREAM_INTERRUPTED)
    assert (outcome.status, outcome.code, outcome.http_status) == (
        OutcomeStatus.INTERRUPTED,
        Code.UPSTREAM_INTERRUPTED,
        200,
    )
    assert outcome.answer is outcome.attempts[0]
    assert statuses(outcome) == [AttemptStatus.INTERRUPTED]
    assert outcome.attempts[0].error is Reason.UPSTREAM_ERROR


def test_cancelled_before_an_answer() -> None:
    """Nobody got anything: a complete answer that was held back is cancelled too, a failed call stays failed."""
    run = run_with(failed(1), answered(2))
    outcome = run.outcome(OutcomeStatus.CANCELLED, None, http_status=499)
    assert (outcome.status, outcome.code, outcome.http_status) == (OutcomeStatus.CANCELLED, None, 499)
    assert outcome.answer is None
    assert statuses(outcome) == [AttemptStatus.FAILED, AttemptStatus.CANCELLED]
    assert outcome.cost_nano == 20


def test_cancelled_amid_an_answer() -> None:
    """What was going out when the caller left is the answer."""
    going_out = answered(2, MID)
    going_out.ended(AttemptStatus.CANCELLED)
    run = run_with(answered(1), going_out)
    outcome = run.outcome(OutcomeStatus.CANCELLED, going_out)
    assert outcome.answer is outcome.attempts[1]
    assert statuses(outcome) == [AttemptStatus.CANCELLED, AttemptStatus.CANCELLED]


@pytest.mark.parametrize("status", OutcomeStatus)
def test_what_becomes_of_an_answer_that_did_not_go_out(status: OutcomeStatus) -> None:
    """Another one went out instead, or the caller left; only what was open till then is decided by the end."""
    winner = answered(2, MID)
    run = run_with(answered(1), winner)
    outcome = run.outcome(status, winner)
    assert statuses(outcome) == [FATES[status], AttemptStatus.ANSWERED]


@pytest.mark.parametrize("status", AttemptStatus)
def test_a_fate_that_is_decided_stays(status: AttemptStatus) -> None:
    """Whatever becomes of the request."""
    attempt = answered()
    attempt.ended(status)
    run = run_with(attempt)
    for winner in (None, attempt):
        for end in OutcomeStatus:
            assert statuses(run.outcome(end, winner)) == [status]


def test_the_record_of_a_call_says_all_of_it() -> None:
    """Field by field."""
    attempt = Attempt(3, MID, Reason.LOW_CONFIDENCE, "standby")
    attempt.usage = Usage(1, 2, 3, 4, UsageQuality.EXACT)
    attempt.cost_nano, attempt.ttft_s, attempt.via = 99, 0.125, "chat"
    attempt.model, attempt.finish_reason = "mid-1.0", "length"
    attempt.score = Score(value=0.25, problem=Reason.TRUNCATED)
    attempt.ended(AttemptStatus.FAILED, TimedOut("mini: silent", stage="idle"))
    record = attempt.record(AttemptStatus.ANSWERED)
    assert record == AttemptRecord(
        number=3,
        backend="mini",
        tier=Tier.MID,
        reason=Reason.LOW_CONFIDENCE,
        status=AttemptStatus.FAILED,
        started_at=attempt.started_at,
        latency_s=attempt.latency_s,
        ttft_s=0.125,
        usage=Usage(1, 2, 3, 4, UsageQuality.EXACT),
        cost_nano=99,
        response_model="mid-1.0",
        served_by="standby",
        finish_reason="length",
        confidence=0.25,
        verdict=Reason.TRUNCATED,
        error=Reason.UPSTREAM_TIMEOUT,
        detail="mini: silent",
        via="chat",
    )
    assert all(value is not None for value in msgspec.structs.asdict(record).values())


def test_the_record_of_a_call_that_brought_nothing() -> None:
    """What is not known is absent."""
    record = Attempt(1, CANDIDATE, CANDIDATE.reason, None).record(AttemptStatus.CANCELLED)
    assert record.status is AttemptStatus.CANCELLED
    assert (record.usage, record.cost_nano, record.latency_s) == (Usage(), 0, 0.0)
    absent = ("response_model", "served_by", "finish_reason", "confidence", "verdict", "error", "detail", "ttft_s")
    assert [getattr(record, name) for name in absent] == [None] * len(absent)


def test_a_score_without_a_value_is_no_confidence() -> None:
    """A problem is told all the same."""
    attempt = answered()
    attempt.score = Score(value=None, problem=Reason.REFUSAL)
    record = attempt.record(AttemptStatus.ANSWERED)
    assert (record.confidence, record.verdict) == (None, Reason.REFUSAL)


def test_times_are_measured() -> None:
    """A call's own time ends with it; the request's goes on till its record is made."""
    run = run_with(answered())
    first = run.attempts[0]
    assert 0 < first.latency_s <= first.elapsed()
    ended = first.latency_s
    outcome = run.outcome(OutcomeStatus.OK, first)
    assert outcome.attempts[0].latency_s == ended
    assert run.outcome(OutcomeStatus.OK, first).latency_s > outcome.latency_s
    assert abs(first.started_at - time.time()) < 60


def test_ignored_fields_are_those_of_the_answers_backend() -> None:
    """What had no part in the answer that went out: unknown here, or refused by its backend; each once, in order."""
    light, mid = answered(1), answered(2, MID)
    light.ignored, mid.ignored = ("seed",), ("top_p", "store")
    run = run_with(light, mid)
    assert run.outcome(OutcomeStatus.OK, mid).ignored == ("audio", "store", "top_p")
    assert run.outcome(OutcomeStatus.OK, light).ignored == ("audio", "seed", "store")
    assert run.outcome(OutcomeStatus.REFUSED, None).ignored == ("store", "audio")


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("x"),
        TimedOut("x", stage="total"),
        Refused("x", status=500, reason=Reason.UPSTREAM_ERROR),
        Broken("x"),
    ],
)
def test_only_who_never_started_was_passed_over(error: AttemptError) -> None:
    """A physical call that failed is an attempt, and stands there."""
    run = run_with()
    run.failed(CANDIDATE, error)
    assert (run.passed_over, run.errors) == ([], [error])
