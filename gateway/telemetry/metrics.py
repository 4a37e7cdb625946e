"""Prometheus metrics of the request path. Labels are bounded: backends, tiers, reasons, classes, known tasks.

Two rates stand here and nowhere else. Escalation rate = escalated requests ÷ all requests. Routing effectiveness =
accepted light answers ÷ light attempts. Accepted is an answer that was found good enough and went out whole: one that
went out because nobody stronger could be asked, or because they failed, is not. Every physical call of the light tier
is an attempt, also one that failed, broke off, or whose caller hung up. Both are exported as counters to divide over
any window, and as gauges over the life of the process for people. A request for vectors is no part of them: nobody
could have escalated it.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.messages import UsageQuality
from gateway.outcome import AttemptRecord, Outcome, OutcomeStatus
from gateway.prices import NANO
from gateway.types import GateState, Tier
from gateway.vectors import TASK

_TTFT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 5, 10, 30)
_LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_DECISION_BUCKETS = (0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01)


M = TypeVar("M", Counter, Histogram)


class _Labelled(Generic[M]):
    """A metric by its labels' values. Each combination is asked for once: the library checks and copies every time."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._known: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        """The one with these values."""
        found = self._known.get(values)
        if found is None:
            found = self._known[values] = self._metric.labels(*values)
        return found


class Metrics:
    """Counts outcomes. `tasks` are the names that may become a label; others are counted as `other`."""

    def __init__(self, registry: CollectorRegistry, tasks: Iterable[str]) -> None:
        self._tasks = frozenset((*tasks, TASK))
        self._escalated = 0
        self._requests = 0
        self._light_attempts = 0
        self._light_accepted = 0
        self._cost_nano = 0
        self.requests = Counter(
            "forebay_requests",
            "Requests by how they ended.",
            ("tier", "reason", "sla_class", "task", "status"),
            registry=registry,
        )
        self.refused = Counter("forebay_refused", "Requests without an answer, by code.", ("code",), registry=registry)
        self.attempts = Counter(
            "forebay_attempts",
            "Physical calls. The engine is the backend's own or its standby, none for a provider.",
            ("backend", "engine", "tier", "status", "error"),
            registry=registry,
        )
        self.tokens = Counter("forebay_tokens", "Tokens of all physical calls.", ("backend", "kind"), registry=registry)
        self.cost = Counter("forebay_cost_usd", "US dollars of all physical calls.", ("backend",), registry=registry)
        self.escalations = Counter("forebay_escalations", "Requests that asked a stronger tier.", registry=registry)
        self.accepted = Counter("forebay_light_accepted", "Light answers that were good enough.", registry=registry)
        self.ttft = Histogram(
            "forebay_time_to_first_token_seconds",
            "From arrival to the first byte of a streamed answer.",
            ("tier",),
            buckets=_TTFT_BUCKETS,
            registry=registry,
        )
        self.latency = Histogram(
            "forebay_request_seconds",
            "From arrival to the end.",
            ("tier",),
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.decision = Histogram(
            "forebay_decision_seconds",
            "Policy, classification and routing.",
            buckets=_DECISION_BUCKETS,
            registry=registry,
        )
        self._requests_by = _Labelled(self.requests)
        self._attempts_by = _Labelled(self.attempts)
        self._tokens_by = _Labelled(self.tokens)
        self._cost_by = _Labelled(self.cost)
        self._ttft_by = _Labelled(self.ttft)
        self._latency_by = _Labelled(self.latency)
        registry.register(_Rates(self))

    def record(self, outcome: Outcome) -> None:
        """Count one finished request."""
        answer, classification = outcome.answer, outcome.classification
        tier = "none" if answer is None else answer.tier
        task = None if classification is None else classification.task
        if not outcome.for_vectors:
            self._requests += 1
            self._cost_nano += outcome.cost_nano
        self._requests_by(
            tier,
            "none" if answer is None else answer.reason,
            outcome.sla_class,
            "none" if task is None else task if task in self._tasks else "other",
            outcome.status,
        ).inc()
        if outcome.status is OutcomeStatus.REFUSED and outcome.code is not None:
            self.refused.labels(outcome.code).inc()
        if outcome.escalated:
            self._escalated += 1
            self.escalations.inc()
        if _accepted_light(outcome):
            self._light_accepted += 1
            self.accepted.inc()
        for record in outcome.attempts:
            self._attempt(record)
        self._latency_by(tier).observe(outcome.latency_s)
        if outcome.ttft_s is not None:
            self._ttft_by(tier).observe(outcome.ttft_s)
        if outcome.decision_s is not None:
            self.decision.observe(outcome.decision_s)

    @property
    def escalation_rate(self) -> float | None:
        """Escalated requests ÷ all requests; None before the first."""
        return self._escalated / self._requests if self._requests else None

    @property
    def routing_effectiveness(self) -> float | None:
        """Accepted light answers ÷ light attempts; None before the first."""
        return self._light_accepted / self._light_attempts if self._light_attempts else None

    @property
    def blended_cost_usd(self) -> float | None:
        """US dollars per request; None before the first."""
        return self._cost_nano / NANO / self._requests if self._requests else None

    def _attempt(self, record: AttemptRecord) -> None:
        error = "none" if record.error is None else record.error
        self._attempts_by(record.backend, record.served_by or "none", record.tier, record.status, error).inc()
        self._light_attempts += record.tier is Tier.LIGHT
        if record.usage.quality is not UsageQuality.UNKNOWN:
            self._tokens_by(record.backend, "prompt").inc(record.usage.prompt)
            self._tokens_by(record.backend, "completion").inc(record.usage.completion)
        if record.cost_nano:
            self._cost_by(record.backend).inc(record.cost_nano / NANO)


def _accepted_light(outcome: Outcome) -> bool:
    """Whether a light answer was the answer, and meant to be."""
    answer = outcome.answer
    return (
        answer is not None
        and answer.tier is Tier.LIGHT
        and outcome.status is OutcomeStatus.OK
        and not outcome.escalated
        and outcome.gave_up is None
    )


class _Rates(Collector):
    """Quotients for people, formed when somebody looks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """A gauge per rate, without a sample as long as it has no denominator."""
        rates = (
            ("forebay_escalation_rate", "Escalated requests ÷ all requests.", self._metrics.escalation_rate),
            (
                "forebay_routing_effectiveness",
                "Accepted light answers ÷ light attempts.",
                self._metrics.routing_effectiveness,
            ),
            ("forebay_blended_cost_usd", "US dollars per request.", self._metrics.blended_cost_usd),
        )
        for name, meaning, value in rates:
            yield GaugeMetricFamily(name, meaning, value=value)


class GateCollector(Collector):
    """The state of the gate, read when somebody looks."""

    def __init__(self, states: Callable[[], list[GateState]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        """Slots, use, queue and readiness of each engine."""
        families = {
            "slots": GaugeMetricFamily(
                "forebay_gate_slots", "Requests an engine answers at a time.", labels=["engine"]
            ),
            "in_use": GaugeMetricFamily("forebay_gate_in_use", "Slots in use.", labels=["engine"]),
            "waiting": GaugeMetricFamily("forebay_gate_waiting", "Requests that wait for a slot.", labels=["engine"]),
            "ready": GaugeMetricFamily("forebay_gate_ready", "1 when the engine takes requests.", labels=["engine"]),
        }
        for state in self._states():
            for name, family in families.items():
                family.add_metric([state.engine], float(getattr(state, name)))
        yield from families.values()
