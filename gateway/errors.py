"""The error tree, and the two closed lists: reasons and codes.

    ForebayError
    ├── RequestError            the caller can mend it: 4xx, `code`, `param`
    ├── Unavailable             nobody can answer at present: 429, 502, 503 or 504, `retry_after`
    ├── ClientGone              the caller hung up; there is nobody to tell
    └── AttemptError            one candidate failed; the broker takes the next
        ├── Rejected            never started: gate full, engine unwell, breaker open
        │   └── EngineGone      its engine went away between the gate and the call
        └── BackendError        started, then failed
            ├── Unreachable     no connection: nothing was sent, nothing billed
            ├── TimedOut        connect, first token, idle or total
            ├── Refused         an HTTP error status before any answer
            ├── Broken          garbage, or a stream that ended without a finish reason
            └── Evicted         taken back from an engine that stands still, before anything had come

A `Reason` says why a backend was chosen (headers, ledger, metrics). A `Code` says why a request failed
(`error.code` in the body). Nothing outside this module adds to either.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a backend was chosen for an attempt; on a refusal, what ruled the candidates out."""

    LOW_COMPLEXITY = "low_complexity"
    MEDIUM_COMPLEXITY = "medium_complexity"
    HIGH_COMPLEXITY = "high_complexity"
    NO_STRONGER_TIER = "no_stronger_tier"
    SIMILARITY = "similarity"
    SLA_CLASS = "sla_class"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    TASK_POLICY = "task_policy"
    HISTORY = "history"
    PINNED = "pinned"
    CAPABILITY = "capability"
    LOW_CONFIDENCE = "low_confidence"
    INVALID_STRUCTURE = "invalid_structure"
    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    NO_CAPACITY = "no_capacity"
    LATENCY_OBJECTIVE = "latency_objective"
    ENGINE_UNHEALTHY = "engine_unhealthy"
    RESIDENCY = "residency"
    LOCAL_ONLY = "local_only"
    BUDGET = "budget"
    RATE_LIMIT = "rate_limit"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    DEADLINE = "deadline"
    CLIENT_CANCELLED = "client_cancelled"


class Code(StrEnum):
    """`error.code` as clients see it."""

    INVALID_JSON = "invalid_json"
    INVALID_VALUE = "invalid_value"
    UNSAFE_FIELD = "unsafe_field"
    THREAD_UNSUPPORTED = "thread_unsupported_request"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TIMEOUT = "body_timeout"
    UNSUPPORTED_ENCODING = "unsupported_content_encoding"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ROUTE_NOT_FOUND = "route_not_found"
    INVALID_API_KEY = "invalid_api_key"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTER = "content_filter"
    RESIDENCY_NO_ELIGIBLE_BACKEND = "residency_no_eligible_backend"
    CAPABILITY_NO_ELIGIBLE_BACKEND = "capability_no_eligible_backend"
    POLICY_NO_ELIGIBLE_BACKEND = "policy_no_eligible_backend"
    REQUEST_REFUSED = "request_refused"
    NO_CAPACITY = "no_capacity"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    RATE_LIMITED = "rate_limit_exceeded"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_INTERRUPTED = "upstream_interrupted"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL_ERROR = "internal_error"


class ForebayError(Exception):
    """Root of the tree: whatever this package raises on purpose."""


class AnswerError(ForebayError):
    """A failure the caller is told about. `status` is an HTTP status, `retry_after` is in seconds."""

    def __init__(
        self,
        message: str,
        *,
        code: Code,
        status: int,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.param = param
        self.retry_after = retry_after


class RequestError(AnswerError):
    """The caller can mend it. `param` names the body field or header at fault."""

    def __init__(
        self, message: str, *, code: Code = Code.INVALID_VALUE, status: int = 400, param: str | None = None
    ) -> None:
        super().__init__(message, code=code, status=status, param=param)


class Unavailable(AnswerError):
    """Nobody can answer at present. `retry_after` in seconds goes into the header of every 429 and 503."""


def cut_short(cancelled: BaseException) -> AnswerError | None:
    """What the caller of a cancelled request is told, None where it was the caller who hung up.

    Whoever ends requests for a reason of our own gives the error as the message of the cancellation.
    """
    return next((each for each in cancelled.args if isinstance(each, AnswerError)), None)


class ClientGone(ForebayError):
    """The caller closed the connection before the answer was complete."""


class AttemptError(ForebayError):
    """One candidate failed. `reason` is why the *next* candidate is tried.

    `billed` is False only where it is certain that no backend charged anything.
    """

    def __init__(self, message: str, *, reason: Reason, billed: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.billed = billed
        self.retry_after = retry_after


class Rejected(AttemptError):
    """Never started: no room, engine unwell, breaker open. No physical call was made."""


class EngineGone(Rejected):
    """Its engine went away between the gate and the call: nothing was sent, and a successor may be on its way."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.ENGINE_UNHEALTHY)


class BackendError(AttemptError):
    """Started, then failed. `retryable`: the same backend may be tried once more at once."""

    retryable: bool = False
    status: int | None = None


class Unreachable(BackendError):
    """No connection was made: nothing was sent, so a retry cannot be charged twice."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message, reason=Reason.UPSTREAM_ERROR)
        self.retryable = retryable


class TimedOut(BackendError):
    """A deadline passed. `stage` is connect, first_token, idle or total."""

    def __init__(self, message: str, *, stage: str, reason: Reason = Reason.UPSTREAM_TIMEOUT) -> None:
        super().__init__(message, reason=reason, billed=stage != "connect")
        self.stage = stage
        self.retryable = stage == "connect"


class Refused(BackendError):
    """An HTTP error status came instead of an answer; providers do not bill those.

    `callers_fault`: the backend found fault with the request itself, which another backend may yet take. The status
    says so, unless whoever read the body knows better.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        reason: Reason,
        retry_after: float | None = None,
        upstream_code: str | None = None,
        upstream_param: str | None = None,
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)
        self.status = status
        self.upstream_code = upstream_code
        self.upstream_param = upstream_param
        self.retryable = status in (429, 503, 529)  # the last one is Anthropic's word for "overloaded"
        self.callers_fault = status in (400, 413, 422)


class Broken(BackendError):
    """The answer was garbage or stopped short of a finish reason; it may have been billed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.UPSTREAM_ERROR, billed=True)


class Evicted(BackendError):
    """The gate took it back from an engine that stands still, which may have read the prompt."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.ENGINE_UNHEALTHY, billed=True)
