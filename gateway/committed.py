"""A streamed answer whose first byte may leave: nothing is switched any more, only disclosed."""

from collections.abc import Callable

import msgspec

from gateway.attempt import OpenAnswer
from gateway.confidence import Confidence
from gateway.errors import AnswerError, BackendError, Code, Unavailable
from gateway.messages import Delta, Usage, UsageQuality
from gateway.outcome import AttemptStatus, Outcome, OutcomeStatus
from gateway.run import Attempt, Run

Record = Callable[[Run, Attempt, OutcomeStatus, Code | None], Outcome]
"""Makes and keeps the record of an attempt's answer that is over."""


class CommittedAnswer:
    """The pieces of one answer. Whoever takes them calls `close` when done or when the caller hangs up.

    `finish` holds the finish reasons: they go out last, on the event that also says what happened, and only
    once the usage is known.
    """

    def __init__(self, run: Run, answer: OpenAnswer, confidence: Confidence, record: Record) -> None:
        self.run = run
        self.attempt = answer.attempt
        self.finish: list[Delta] = []
        self.outcome: Outcome | None = None
        self._answer = answer
        self._confidence = confidence
        self._record = record
        self._waiting = list(answer.transcript.deltas)

    @property
    def model(self) -> str:
        """What answers, as far as it has said so."""
        return self._answer.model or self.attempt.model or ""

    @property
    def usage(self) -> Usage:
        """Tokens of the answer; final at its end. Before that, what has been counted, or is estimated of the prompt."""
        if self.outcome is not None or self._answer.ended:
            return self.attempt.usage
        counted = self._answer.usage
        if counted.prompt:
            return counted
        return Usage(prompt=self.run.decided.classification.prompt.tokens, quality=UsageQuality.ESTIMATED)

    async def batch(self) -> list[Delta]:
        """The next pieces; empty at the end, when `outcome` is there. Raises Unavailable if the answer breaks off."""
        while self.outcome is None:
            deltas, self._waiting = self._waiting, []
            if not deltas:
                if self._answer.ended:
                    self._settle(OutcomeStatus.OK)
                    return []
                deltas = await self._next()
            pieces = [piece for delta in deltas if (piece := self._without_finish(delta)) is not None]
            if pieces:
                return pieces
        return []

    def close(self, told: AnswerError | None = None) -> None:
        """Nobody takes any more pieces: the caller hung up, or is `told` this instead."""
        if self.outcome is not None:
            return
        self._answer.cancel()
        if told is None:
            self._settle(OutcomeStatus.CANCELLED)
        else:
            self._settle(OutcomeStatus.INTERRUPTED, told.code)

    async def _next(self) -> list[Delta]:
        try:
            return await self._answer.batch()
        except BackendError as error:
            self._settle(OutcomeStatus.INTERRUPTED, Code.UPSTREAM_INTERRUPTED)
            raise Unavailable(
                "the backend broke off before the answer was complete", code=Code.UPSTREAM_INTERRUPTED, status=502
            ) from error
        except Exception:
            # A fault of our own is not the caller hanging up, which is what a plain close would say.
            self.close(AnswerError("something went wrong here", code=Code.INTERNAL_ERROR, status=500))
            raise

    def _without_finish(self, delta: Delta) -> Delta | None:
        if delta.finish_reason is None:
            return delta if delta.says_something else None
        self.finish.append(
            Delta(index=delta.index, finish_reason=delta.finish_reason, stop_sequence=delta.stop_sequence)
        )
        bare = msgspec.structs.replace(delta, finish_reason=None, stop_sequence=None)
        return bare if delta.says_something else None

    def _settle(self, status: OutcomeStatus, code: Code | None = None) -> None:
        partial = status is not OutcomeStatus.OK
        try:
            self.attempt.score = self._confidence.judge(
                self.run.request, self._answer.completion(), self.attempt.answerer, partial=partial
            )
        except Exception:
            # What cannot be judged is recorded all the same, and is not called complete.
            if status is OutcomeStatus.OK:
                status, code = OutcomeStatus.INTERRUPTED, Code.INTERNAL_ERROR
            raise
        finally:
            if status is OutcomeStatus.INTERRUPTED:
                self.attempt.status = AttemptStatus.INTERRUPTED
            self.outcome = self._record(self.run, self.attempt, status, code)
