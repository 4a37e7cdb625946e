"""What happened, kept: a row per request and a row per physical call, in integer nano-dollars."""

from gateway.ledger.file import LedgerUnusable
from gateway.ledger.reading import LedgerReader
from gateway.ledger.sqlite import SqliteLedger

__all__ = ["LedgerReader", "LedgerUnusable", "SqliteLedger"]
