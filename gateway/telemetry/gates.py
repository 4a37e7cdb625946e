"""Metrics of the gate's forecasts and decisions, read when somebody looks. What is unknown has no sample."""

from collections.abc import Callable, Iterable
from types import MappingProxyType

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.gates import GateReport

_FIGURES = MappingProxyType(
    {
        "prompt_rate": ("forebay_gate_prompt_rate", "Prompt tokens per second that an engine reads, as learnt."),
        "backlog": ("forebay_gate_backlog_tokens", "Prompt tokens of requests without a first token."),
        "running": ("forebay_gate_running", "Streams with a first token."),
        "gap_s": ("forebay_gate_gap_seconds", "Time between tokens at present."),
        "band": ("forebay_gate_band_ratio", "Observed ÷ foretold first token that nine in ten stay below."),
        "strictness": ("forebay_gate_strictness", "What chances of late first tokens are multiplied by."),
        "gap_strictness": ("forebay_gate_gap_strictness", "What chances of slow tokens are multiplied by."),
        "hold_s": ("forebay_gate_hold_seconds", "How long a slot is usually held."),
        "fenced": ("forebay_gate_fenced", "1 while an engine stands still."),
        "speed": ("forebay_gate_speed_ratio", "Speed of the GPUs that an engine runs on, as a share of the highest."),
        "cadence": ("forebay_gate_cadence_ratio", "Speed by the time between tokens, as a share of the usual one."),
    }
)


class GateTermsCollector(Collector):
    """Every engine's gate: what it has learnt, how often it decided what, and each term of its last decision."""

    def __init__(self, reports: Callable[[], list[GateReport]]) -> None:
        self._reports = reports

    def collect(self) -> Iterable[Metric]:
        """A family per figure, one for decisions, and one whose label names the term."""
        reports = self._reports()
        for field, (name, meaning) in _FIGURES.items():
            family = GaugeMetricFamily(name, meaning, labels=["engine"])
            for report in reports:
                value = getattr(report, field)
                if value is not None:
                    family.add_metric([report.state.engine], float(value))
            yield family
        yield _decided(reports)
        yield _last(reports)


def _decided(reports: list[GateReport]) -> Metric:
    family = CounterMetricFamily("forebay_gate_decisions", "Decisions by outcome.", labels=["engine", "outcome"])
    for report in reports:
        for outcome, count in sorted(report.counts.items()):
            family.add_metric([report.state.engine, outcome], float(count))
    return family


def _last(reports: list[GateReport]) -> Metric:
    family = GaugeMetricFamily("forebay_gate_last", "Terms of the last decision.", labels=["engine", "term"])
    for report in reports:
        terms = msgspec.structs.asdict(report.decisions[-1]) if report.decisions else {}
        for term, value in terms.items():
            if isinstance(value, bool | int | float):
                family.add_metric([report.state.engine, term], float(value))
    return family
