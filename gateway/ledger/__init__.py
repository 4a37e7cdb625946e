"""What happened, kept: a row per request and a row per physical call, in integer nano-dollars."""

from gateway.ledger.sqlite import LedgerUnusable, SqliteLedger

__all__ = ["LedgerUnusable", "SqliteLedger"]
