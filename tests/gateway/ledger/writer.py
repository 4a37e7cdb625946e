"""A process that writes a ledger, to be killed or starved. `python -m tests.gateway.ledger.writer PATH ROWS BATCH`.

It hands over ROWS outcomes, BATCH at a time, and prints how many are on disk after each batch, or `failing` once
when that cannot be. In the end it closes the ledger and prints `closed`. If a file `PATH.ballast` lies beside the
ledger, a line on standard input has it removed.
"""

import sys
import threading
from pathlib import Path

from gateway.ledger import SqliteLedger
from tests.gateway.ledger.full import numbered
from tests.gateway.waiting import until


def main(path: Path, rows: int, batch: int) -> None:
    """Write, and tell of it."""
    ledger = SqliteLedger(path)
    threading.Thread(target=_make_room, args=(path.with_name(f"{path.name}.ballast"),), daemon=True).start()
    outcomes = numbered(rows, attempts=2)
    told = False
    for start in range(0, rows, batch):
        for outcome in outcomes[start : start + batch]:
            ledger.record(outcome)
        until(lambda: not ledger.pending or ledger.failing, "the ledger has tried")
        if ledger.pending and not told:
            _tell("failing")
            told = True
        until(lambda: not ledger.pending, "written")
        _tell(str(min(rows, start + batch)))
    ledger.close()
    _tell("closed")


def _make_room(ballast: Path) -> None:
    for _ in sys.stdin:
        ballast.unlink()


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
