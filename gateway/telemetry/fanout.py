"""One outcome, several recorders."""

import logging

from gateway.outcome import Outcome
from gateway.ports import Recorder

_log = logging.getLogger("forebay.telemetry")


class Fanout:
    """Tells every recorder. One that fails is reported and does not keep the others, or the answer, from going on."""

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    def record(self, outcome: Outcome) -> None:
        """Tell them all."""
        for recorder in self._recorders:
            try:
                recorder.record(outcome)
            except Exception:  # noqa: BLE001 - whatever it is, it must not reach the caller, and it is logged
                _log.exception("%s failed on request %s", type(recorder).__name__, outcome.request_id)
