"""Metrics: each counts what its name says, under labels of which there is a known number."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gateway.errors import Code, Reason
from gateway.messages import Usage, UsageQuality
from gateway.outcome import AttemptStatus, Outcome, OutcomeStatus
from gateway.telemetry import Metrics
from gateway.telemetry.metrics import GateCollector
from gateway.types import GateState, Tier
from tests.gateway.nouns import ATTEMPT, CLASSIFICATION, OUTCOME, change
from tests.gateway.telemetry.samples import Samples, at, samples

HISTOGRAM = ("count", "sum", "bucket")
TASKS = ("faq", "chat", "other")
MID = change(ATTEMPT, number=2, backend="mini", tier=Tier.MID, reason=Reason.LOW_CONFIDENCE, cost_nano=3_000)
SUPERSEDED = change(ATTEMPT, status=AttemptStatus.SUPERSEDED)
FAILED = change(ATTEMPT, status=AttemptStatus.FAILED, error=Reason.UPSTREAM_TIMEOUT, usage=Usage(), cost_nano=0)
ESCALATED = change(OUTCOME, answer=MID, attempts=(SUPERSEDED, MID), escalated=True, cost_nano=23_000)
REFUSED = change(
    OUTCOME,
    status=OutcomeStatus.REFUSED,
    code=Code.MODEL_NOT_FOUND,
    http_status=404,
    classification=None,
    answer=None,
    attempts=(),
    cost_nano=0,
    decision_s=None,
)


def counted(*outcomes: Outcome, prefix: str = "forebay_") -> Samples:
    """What is exported after these outcomes."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, TASKS)
    for outcome in outcomes:
        metrics.record(outcome)
    return samples(registry, prefix)


def test_before_the_first_request_there_is_no_rate() -> None:
    """Nothing divided by nothing is not 0; counters without labels stand at 0 from the start."""
    found = {name: value for name, value in counted().items() if "_bucket" not in name}
    assert found == {
        "forebay_escalations_total": 0.0,
        "forebay_light_accepted_total": 0.0,
        "forebay_decision_seconds_count": 0.0,
        "forebay_decision_seconds_sum": 0.0,
    }


def test_requests_are_counted_by_how_they_ended() -> None:
    """Tier and reason of the answer, class, task and status; those without an answer say `none`."""
    found = counted(OUTCOME, OUTCOME, ESCALATED, REFUSED, prefix="forebay_requests")
    requests = partial(at, "forebay_requests_total", sla_class="pro")
    assert found == {
        requests(tier="light", reason="low_complexity", task="faq", status="ok"): 2.0,
        requests(tier="mid", reason="low_confidence", task="faq", status="ok"): 1.0,
        requests(tier="none", reason="none", task="none", status="refused"): 1.0,
    }


@pytest.mark.parametrize("status", OutcomeStatus)
def test_every_status_is_a_label(status: OutcomeStatus) -> None:
    """As it is called in the ledger."""
    (name,) = counted(change(OUTCOME, status=status), prefix="forebay_requests")
    assert f'status="{status.value}"' in name


@pytest.mark.parametrize(
    ("task", "label"), [("faq", "faq"), ("other", "other"), ("no-such-task", "other"), ("none", "other"), ("", "other")]
)
def test_a_task_that_a_caller_made_up_is_other(task: str, label: str) -> None:
    """Only the names of the task table become labels."""
    outcome = change(OUTCOME, classification=change(CLASSIFICATION, task=task))
    (name,) = counted(outcome, prefix="forebay_requests")
    assert f'task="{label}"' in name


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=40, unique=True))
def test_whatever_callers_send_makes_no_new_label(names: list[str]) -> None:
    """Task, session, model, request id: a thousand different ones are one time series."""
    outcomes = [
        change(
            OUTCOME,
            request_id=name,
            session=name,
            region=name,
            requested_model=name,
            ignored=(name,),
            classification=change(CLASSIFICATION, task=f"made-up-{name}"),
        )
        for name in names
    ]
    assert counted(*outcomes).keys() == counted(outcomes[0]).keys()


def test_refusals_are_counted_by_code() -> None:
    """Of requests that got no answer: one that broke off in the middle was not refused."""
    interrupted = change(OUTCOME, status=OutcomeStatus.INTERRUPTED, code=Code.UPSTREAM_INTERRUPTED)
    full = change(REFUSED, code=Code.NO_CAPACITY)
    assert counted(OUTCOME, REFUSED, REFUSED, full, interrupted, prefix="forebay_refused") == {
        at("forebay_refused_total", code="model_not_found"): 2.0,
        at("forebay_refused_total", code="no_capacity"): 1.0,
    }


def test_physical_calls_are_counted_one_by_one() -> None:
    """By backend, tier, how they ended, and why they failed."""
    outcome = change(ESCALATED, attempts=(FAILED, FAILED, SUPERSEDED, MID))
    attempts = partial(at, "forebay_attempts_total", engine="none")
    assert counted(outcome, OUTCOME, REFUSED, prefix="forebay_attempts") == {
        attempts(backend="small", tier="light", status="failed", error="upstream_timeout"): 2.0,
        attempts(backend="small", tier="light", status="superseded", error="none"): 1.0,
        attempts(backend="mini", tier="mid", status="answered", error="none"): 1.0,
        attempts(backend="small", tier="light", status="answered", error="none"): 1.0,
    }


def test_tokens_of_all_calls_are_counted() -> None:
    """Of answers that did not go out as well; estimates too; what is unknown is not counted as 0 or anything else."""
    estimated = change(SUPERSEDED, usage=Usage(100, 50, 40, 30, UsageQuality.ESTIMATED))
    unknown = change(FAILED, backend="big", usage=Usage(7, 7))
    outcome = change(ESCALATED, attempts=(estimated, unknown, MID))
    assert counted(outcome, OUTCOME, prefix="forebay_tokens") == {
        at("forebay_tokens_total", backend="small", kind="prompt"): 110.0,
        at("forebay_tokens_total", backend="small", kind="completion"): 55.0,
        at("forebay_tokens_total", backend="mini", kind="prompt"): 10.0,
        at("forebay_tokens_total", backend="mini", kind="completion"): 5.0,
    }


def test_dollars_are_counted_by_backend() -> None:
    """What each call cost, wherever its answer went; a backend that costs nothing has no series."""
    free = change(REFUSED, attempts=(change(FAILED, backend="free"),))
    assert counted(ESCALATED, OUTCOME, free, prefix="forebay_cost") == pytest.approx(
        {at("forebay_cost_usd_total", backend="small"): 0.00004, at("forebay_cost_usd_total", backend="mini"): 0.000003}
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=60))
def test_dollars_are_the_sum_of_nano_dollars(amounts: list[int]) -> None:
    """To the nano-dollar for requests of up to ten thousand dollars, and so is what a request costs on average."""
    found = counted(
        *(change(OUTCOME, cost_nano=amount, attempts=(change(ATTEMPT, cost_nano=amount),)) for amount in amounts)
    )
    total = sum(amounts)
    assert round(found.get(at("forebay_cost_usd_total", backend="small"), 0.0) * 1e9) == pytest.approx(total, abs=20)
    assert found["forebay_blended_cost_usd"] == total / 1_000_000_000 / len(amounts)


def test_the_blended_cost_is_of_all_requests() -> None:
    """Refused ones cost nothing and count; all attempts of a request count."""
    assert counted(ESCALATED, REFUSED)["forebay_blended_cost_usd"] == 0.0000115


def test_the_first_token_is_timed_on_streams_alone() -> None:
    """By the tier whose answer went out; a stream that was refused had no first token."""
    quick, slow = change(OUTCOME, stream=True, ttft_s=0.02), change(ESCALATED, stream=True, ttft_s=7.0)
    found = counted(OUTCOME, ESCALATED, REFUSED, quick, quick, slow, prefix="forebay_time_to_first_token_seconds")
    count, total, bucket = (partial(at, f"forebay_time_to_first_token_seconds_{name}") for name in HISTOGRAM)
    assert found[count(tier="light")] == 2.0
    assert found[total(tier="light")] == pytest.approx(0.04)
    assert found[bucket(tier="light", le="0.01")] == 0.0
    assert found[bucket(tier="light", le="0.025")] == 2.0
    assert found[bucket(tier="mid", le="5.0")] == 0.0
    assert found[bucket(tier="mid", le="10.0")] == 1.0
    assert not any('tier="none"' in name for name in found)


def test_every_request_is_timed() -> None:
    """From arrival to the end, by tier; refused ones under `none`."""
    found = counted(OUTCOME, change(ESCALATED, latency_s=400.0), change(REFUSED, latency_s=0.001))
    count, total, bucket = (partial(at, f"forebay_request_seconds_{name}") for name in HISTOGRAM)
    assert found[total(tier="light")] == 0.75
    assert found[bucket(tier="light", le="0.5")] == 0.0
    assert found[bucket(tier="light", le="1.0")] == 1.0
    assert found[bucket(tier="mid", le="300.0")] == 0.0
    assert found[bucket(tier="mid", le="+Inf")] == 1.0
    assert found[count(tier="none")] == 1.0


def test_decisions_are_timed_where_there_was_one() -> None:
    """Finely enough to see whether they keep to a millisecond."""
    found = counted(OUTCOME, change(OUTCOME, decision_s=0.0009), change(OUTCOME, decision_s=0.004), REFUSED)
    assert found["forebay_decision_seconds_count"] == 3.0
    assert found["forebay_decision_seconds_sum"] == pytest.approx(0.0054)
    bounds = {"0.0003": 0.0, "0.0005": 1.0, "0.001": 2.0, "0.002": 2.0, "0.005": 3.0}
    assert {le: found[at("forebay_decision_seconds_bucket", le=le)] for le in bounds} == bounds


def test_two_gateways_in_a_process_do_not_share() -> None:
    """Each has its own registry."""
    assert counted(OUTCOME) == counted(OUTCOME)


def test_the_gate_is_shown_as_it_is_when_somebody_looks() -> None:
    """Slots, use, queue and readiness of each engine; nothing is kept from the last look."""
    states = [
        GateState(engine="small", slots=8, in_use=3, waiting=2, ready=True, detail="up"),
        GateState(engine="large", slots=4, in_use=0, waiting=0, ready=False, detail="starting"),
    ]
    registry = CollectorRegistry()
    registry.register(GateCollector(lambda: list(states)))
    assert samples(registry) == {
        at("forebay_gate_slots", engine="small"): 8.0,
        at("forebay_gate_slots", engine="large"): 4.0,
        at("forebay_gate_in_use", engine="small"): 3.0,
        at("forebay_gate_in_use", engine="large"): 0.0,
        at("forebay_gate_waiting", engine="small"): 2.0,
        at("forebay_gate_waiting", engine="large"): 0.0,
        at("forebay_gate_ready", engine="small"): 1.0,
        at("forebay_gate_ready", engine="large"): 0.0,
    }
    states[:] = [change(states[0], in_use=8)]
    assert samples(registry)[at("forebay_gate_in_use", engine="small")] == 8.0
    assert not any("large" in name for name in samples(registry))


def test_a_house_without_engines_has_an_empty_gate() -> None:
    """The families are there, without a sample."""
    registry = CollectorRegistry()
    registry.register(GateCollector(list))
    assert samples(registry) == {}
    assert {family.name for family in registry.collect()} == {
        f"forebay_gate_{name}" for name in ("slots", "in_use", "waiting", "ready")
    }
