"""A process whose request log nobody reads. `python -m tests.gateway.telemetry.unread`."""

import sys

from gateway.telemetry import RequestLog
from tests.gateway.nouns import OUTCOME


def main() -> None:
    """Log far more than a pipe holds, and end."""
    log = RequestLog(sys.stdout.fileno())
    for _ in range(5_000):
        log.record(OUTCOME)
    log.close(patience_s=0.2)
    sys.stderr.write(f"{log.dropped > 0}\n")


if __name__ == "__main__":
    main()
