"""What is recorded of a request that fails, whatever it asked for. Pure."""

import asyncio
from typing import Any

from gateway.errors import AnswerError, Code, cut_short
from gateway.outcome import Outcome, OutcomeStatus
from gateway.run import Arrival, Journey, refused

# What nginx logs for a client that hung up; nobody is there to receive it.
_CLIENT_CLOSED_REQUEST = 499


def failed_decision(arrival: Arrival[Any], error: Exception) -> Outcome:
    """It was not even decided what becomes of it."""
    if isinstance(error, AnswerError):
        return refused(arrival, error)
    return refused(arrival, AnswerError("", code=Code.INTERNAL_ERROR, status=500))


def failed_walk(run: Journey[Any], error: Exception | asyncio.CancelledError) -> Outcome:
    """Nobody answered, or the caller did not wait for it."""
    told = cut_short(error) if isinstance(error, asyncio.CancelledError) else error
    if told is None:
        return run.outcome(OutcomeStatus.CANCELLED, None, http_status=_CLIENT_CLOSED_REQUEST)
    if isinstance(told, AnswerError):
        return run.outcome(OutcomeStatus.REFUSED, None, code=told.code, http_status=run.request.status_of(told))
    return run.outcome(OutcomeStatus.REFUSED, None, code=Code.INTERNAL_ERROR, http_status=500)
