"""One outcome, several recorders, and none of them can keep the others from hearing of it."""

import logging

import pytest

from gateway.outcome import Outcome
from gateway.telemetry import Fanout
from tests.gateway.nouns import OUTCOME, change


class Recorder:
    """Remembers what it is told, or fails."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.told: list[Outcome] = []
        self._error = error

    def record(self, outcome: Outcome) -> None:
        """Take note."""
        self.told.append(outcome)
        if self._error is not None:
            raise self._error


def test_everybody_is_told_of_everything() -> None:
    """In the order of the outcomes, each the very same object."""
    recorders = [Recorder(), Recorder(), Recorder()]
    fanout = Fanout(*recorders)
    outcomes = [change(OUTCOME, request_id=f"r-{number}") for number in range(3)]
    for outcome in outcomes:
        fanout.record(outcome)
    for recorder in recorders:
        assert all(told is outcome for told, outcome in zip(recorder.told, outcomes, strict=True))


@pytest.mark.parametrize("error", [ValueError("a name is odd"), OSError(28, "no room"), AssertionError("not so")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_fails_keeps_nobody_else_from_hearing(
    caplog: pytest.LogCaptureFixture, error: Exception, place: int
) -> None:
    """Nor the caller from their answer; it is logged with its name, the request and what went wrong."""
    recorders = [Recorder(error if number == place else None) for number in range(3)]
    with caplog.at_level(logging.ERROR, "forebay.telemetry"):
        Fanout(*recorders).record(OUTCOME)
    assert [len(recorder.told) for recorder in recorders] == [1, 1, 1]
    (record,) = caplog.records
    assert record.getMessage() == "Recorder failed on request r-1"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_one_that_failed_is_told_of_the_next() -> None:
    """A recorder that is unwell for a while is not given up."""
    unwell = Recorder(RuntimeError("for a while"))
    fanout = Fanout(unwell)
    for _ in range(3):
        fanout.record(OUTCOME)
    assert len(unwell.told) == 3


def test_an_interrupt_is_no_failure_of_a_recorder() -> None:
    """Who stops the process is heard."""
    with pytest.raises(KeyboardInterrupt):
        Fanout(Recorder(KeyboardInterrupt())).record(OUTCOME)


def test_a_house_without_recorders_records_nothing() -> None:
    """And that is no error."""
    recorded: list[Outcome] = []
    Fanout().record(OUTCOME)
    assert recorded == []
