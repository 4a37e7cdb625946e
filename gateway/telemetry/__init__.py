"""What is told about requests while they happen: metrics for machines, a line per request for people."""

from gateway.telemetry.fanout import Fanout
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.requestlog import RequestLog

__all__ = ["Fanout", "Metrics", "RequestLog"]
