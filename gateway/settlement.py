"""What one physical call cost, and what it says of its backend."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.backends.breaker import Breaker
from gateway.errors import BackendError, Evicted, Reason, Refused
from gateway.messages import Choice, Completion, Usage, UsageQuality
from gateway.outcome import AttemptStatus
from gateway.prices import usage_cost
from gateway.run import Attempt, Journey, Run
from gateway.tokens import estimate
from gateway.types import BackendSpec

UNTOLD_WAIT_S = 1.0
"""How long a backend is left alone that wants no call at present and does not say for how long."""

UNCOUNTED = Usage()
"""A backend has said nothing of tokens."""


class Settlement:
    """What a call cost and what it says of its backend, written down exactly once.

    `written` tells how many tokens of an answer had come, or were to be expected; it is asked where the backend has
    not said.
    """

    def __init__(self, attempt: Attempt, breaker: Breaker, spec: BackendSpec, run: Journey[Any]) -> None:
        self._attempt = attempt
        self._breaker = breaker
        self._spec = spec
        self._run = run

    def answered(
        self, model: str, usage: Usage, finish_reason: str | None, written: Callable[[], int], *, pause_s: float = 0.0
    ) -> None:
        """A complete answer, after which the backend wants none for `pause_s` seconds."""
        self._breaker.succeeded()
        if pause_s:
            self._breaker.told_to_wait(asyncio.get_running_loop().time(), pause_s)
        self._attempt.model = model or self._spec.model
        self._attempt.finish_reason = finish_reason
        self._charge(usage, written)
        self._attempt.ended()

    def failed(self, error: BackendError, written: Callable[[], int], counted: Usage = UNCOUNTED) -> None:
        """No answer, or half of one, of which the backend had `counted` so much."""
        now = asyncio.get_running_loop().time()
        if error.reason is Reason.RATE_LIMIT:
            self._breaker.told_to_wait(now, UNTOLD_WAIT_S if error.retry_after is None else error.retry_after)
        elif isinstance(error, Evicted) or (isinstance(error, Refused) and error.callers_fault):
            # The gate knows of a standstill, and when it is over.
            self._breaker.gave_no_evidence()
        else:
            self._breaker.failed(now)
        self._charge(counted if error.billed else Usage(quality=UsageQuality.EXACT), written)
        self._attempt.ended(AttemptStatus.FAILED, error)

    def never_began(self) -> None:
        """The backend found that it could not even be called: there was no attempt."""
        self._breaker.gave_no_evidence()
        self._run.attempts.remove(self._attempt)

    def cancelled(self, written: Callable[[], int], counted: Usage = UNCOUNTED) -> None:
        """Nobody waits for it any more."""
        self._breaker.gave_no_evidence()
        self._charge(counted, written)
        self._attempt.ended(AttemptStatus.CANCELLED)

    def cut(self, model: str, usage: Usage, written: Callable[[], int]) -> None:
        """A good answer that was not needed to its end."""
        self._breaker.succeeded()
        self._attempt.model = model or self._spec.model
        self._charge(usage, written)
        self._attempt.ended(AttemptStatus.SUPERSEDED)

    def _charge(self, usage: Usage, written: Callable[[], int]) -> None:
        """Unknown usage is charged as the prompt at its largest and all that was written: not below the invoice.

        A backend that has counted its prompt before it was cut off is taken at its word.
        """
        if usage.quality is UsageQuality.UNKNOWN:
            prompt = self._run.decided.classification.prompt
            usage = msgspec.structs.replace(
                usage,
                prompt=usage.prompt or prompt.tokens + prompt.error,
                completion=max(usage.completion, written()),
                quality=UsageQuality.ESTIMATED,
            )
        self._attempt.usage = usage
        self._attempt.cost_nano = usage_cost(self._spec.price, usage)


def expected(run: Run) -> int:
    """Tokens of an answer that nobody has seen."""
    sampling, expected = run.request.sampling, run.decided.classification.expected_output
    return sampling.n * min(expected, sampling.max_tokens or expected)


def nothing() -> int:
    """No answer had begun."""
    return 0


def written(completion: Completion) -> int:
    """Tokens of an answer: counted where logprobs came, else estimated from its text."""
    return sum(len(choice.logprobs) if choice.logprobs else _estimated(choice) for choice in completion.choices)


def _estimated(choice: Choice) -> int:
    calls = [part for call in choice.tool_calls for part in (call.function.name, call.function.arguments)]
    return estimate("".join([choice.reasoning or "", choice.text or "", choice.refusal or "", *calls])).tokens
