"""Recorders that are late say so."""

import sqlite3
from contextlib import closing
from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.ledger import SqliteLedger
from gateway.telemetry.backlog import LedgerCollector, LogCollector
from tests.gateway.ledger.full import numbered
from tests.gateway.telemetry.samples import samples
from tests.gateway.waiting import until


def test_a_ledger_that_cannot_be_written_is_seen(tmp_path: Path) -> None:
    """How many outcomes wait, and that they wait for a reason; when they are written, neither."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path, lock_wait_s=0.05)
    registry = CollectorRegistry()
    registry.register(LedgerCollector(lambda: ledger.pending, lambda: ledger.failing))
    assert samples(registry) == {"forebay_ledger_pending": 0.0, "forebay_ledger_failing": 0.0}
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for outcome in numbered(7):
            ledger.record(outcome)
        until(lambda: ledger.failing, "it is noticed")
        assert samples(registry) == {"forebay_ledger_pending": 7.0, "forebay_ledger_failing": 1.0}
        other.execute("ROLLBACK")
        until(lambda: not ledger.pending, "written after all")
    until(lambda: samples(registry) == {"forebay_ledger_pending": 0.0, "forebay_ledger_failing": 0.0}, "all is well")
    ledger.close()


def test_lines_that_were_lost_are_counted() -> None:
    """As many as the log says, whenever somebody looks."""
    lost = [0]
    registry = CollectorRegistry()
    registry.register(LogCollector(lambda: lost[0]))
    assert samples(registry) == {"forebay_log_dropped_total": 0.0}
    lost[0] = 12
    assert samples(registry) == {"forebay_log_dropped_total": 12.0}
