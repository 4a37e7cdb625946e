"""What the recorders have not done: who trusts the ledger and the log has to know when they are late."""

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class LedgerCollector(Collector):
    """Outcomes that wait for the ledger, and whether it can be written, read when somebody looks."""

    def __init__(self, pending: Callable[[], int], failing: Callable[[], bool]) -> None:
        self._pending = pending
        self._failing = failing

    def collect(self) -> Iterable[Metric]:
        """A gauge each."""
        yield GaugeMetricFamily("forebay_ledger_pending", "Outcomes not on disk yet.", value=self._pending())
        yield GaugeMetricFamily(
            "forebay_ledger_failing", "1 while the ledger cannot be written.", value=self._failing()
        )


class LogCollector(Collector):
    """Outcomes that the request log lost, because nobody took their lines in time."""

    def __init__(self, dropped: Callable[[], int]) -> None:
        self._dropped = dropped

    def collect(self) -> Iterable[Metric]:
        """A counter."""
        yield CounterMetricFamily("forebay_log_dropped", "Outcomes without a line in the log.", value=self._dropped())
