"""Exactly one record of a request, also of one that fails, and the same for whatever is asked."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.errors import AnswerError, Code, cut_short
from gateway.outcome import Outcome, OutcomeStatus
from gateway.run import Arrival, Journey, refused

# What nginx logs for a client that hung up; nobody is there to receive it.
_CLIENT_CLOSED_REQUEST = 499


@contextmanager
def decision_on_record(arrival: Arrival[Any], record: Callable[[Outcome], None]) -> Iterator[None]:
    """While it is decided what becomes of a request; should that fail, the record says how."""
    try:
        yield
    except AnswerError as error:
        record(refused(arrival, error))
        raise
    except Exception:
        record(refused(arrival, AnswerError("", code=Code.INTERNAL_ERROR, status=500)))
        raise


@contextmanager
def walk_on_record(run: Journey[Any], record: Callable[[Outcome], None]) -> Iterator[None]:
    """While an answer is sought; should that fail, the record says how."""
    try:
        yield
    except AnswerError as error:
        record(run.outcome(OutcomeStatus.REFUSED, None, code=error.code, http_status=run.request.status_of(error)))
        raise
    except asyncio.CancelledError as cancelled:
        told = cut_short(cancelled)
        if told is None:
            record(run.outcome(OutcomeStatus.CANCELLED, None, http_status=_CLIENT_CLOSED_REQUEST))
        else:
            record(run.outcome(OutcomeStatus.REFUSED, None, code=told.code, http_status=run.request.status_of(told)))
        raise
    except Exception:
        record(run.outcome(OutcomeStatus.REFUSED, None, code=Code.INTERNAL_ERROR, http_status=500))
        raise
