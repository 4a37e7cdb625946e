"""Why nobody answered, as the one error the caller gets. Pure.

Where several things went wrong the caller hears of the one that waiting or asking differently would mend.
"""

from collections.abc import Sequence

from gateway.errors import AnswerError, AttemptError, Code, Reason, Refused, RequestError, Unavailable
from gateway.types import Capability, Constraints, Exclusion

_DEFAULT_RETRY_AFTER_S = 1.0


def nobody_allowed(excluded: Sequence[Exclusion], constraints: Constraints, param: str = "messages") -> AnswerError:
    """Every backend is excluded. Constraints are checked widest first, so the last kind met is the nearest miss.

    `param` is the field that holds the prompt.
    """
    if not excluded:
        return RequestError("no backend here writes text", code=Code.MODEL_NOT_FOUND, status=404, param="model")
    reasons = {exclusion.reason for exclusion in excluded}
    if Reason.CONTEXT_LENGTH in reasons:
        return RequestError(
            f"the prompt needs room for {constraints.tokens_needed} tokens, more than any backend allowed here has",
            code=Code.CONTEXT_LENGTH_EXCEEDED,
            param=param,
        )
    if Reason.CAPABILITY in reasons:
        needs = ", ".join(sorted(constraints.needs))
        return RequestError(
            f"no backend allowed here can do what this request needs: {needs}",
            code=Code.CAPABILITY_NO_ELIGIBLE_BACKEND,
            param=_param_of(constraints.needs),
        )
    if Reason.SLA_CLASS in reasons:
        return RequestError(
            f"class {constraints.sla.name} may use tiers up to {constraints.sla.max_tier}",
            code=Code.POLICY_NO_ELIGIBLE_BACKEND,
            status=403,
            param="model",
        )
    where = "this box" if Reason.RESIDENCY not in reasons else "the regions allowed for this request"
    return RequestError(
        f"data of this request must stay within {where}, where no backend can answer it",
        code=Code.RESIDENCY_NO_ELIGIBLE_BACKEND,
        status=403,
    )


def nobody_answered(errors: Sequence[AttemptError], *, deadline_passed: bool, param: str = "messages") -> AnswerError:
    """Every candidate failed, in the order of `errors`. `param` is the field that holds the prompt."""
    if deadline_passed:
        return Unavailable("no backend answered before the deadline", code=Code.DEADLINE_EXCEEDED, status=504)
    reasons = {error.reason for error in errors}
    wait = min((error.retry_after for error in errors if error.retry_after is not None), default=None)
    retry_after = _DEFAULT_RETRY_AFTER_S if wait is None else max(wait, _DEFAULT_RETRY_AFTER_S)
    if reasons & {Reason.NO_CAPACITY, Reason.LATENCY_OBJECTIVE}:
        return Unavailable(
            "no room on this box at present, and nobody else may answer",
            code=Code.NO_CAPACITY,
            status=429,
            retry_after=retry_after,
        )
    if Reason.RATE_LIMIT in reasons:
        return Unavailable(
            "the provider limits the rate of requests at present",
            code=Code.RATE_LIMITED,
            status=429,
            retry_after=retry_after,
        )
    return _by_last_error(errors, retry_after, param)


def _by_last_error(errors: Sequence[AttemptError], retry_after: float, param: str) -> AnswerError:
    refused = [error for error in errors if isinstance(error, Refused) and error.callers_fault]
    if refused and len(refused) == len(errors):
        return _request_refused(refused[-1], param)
    reasons = {error.reason for error in errors}
    if reasons == {Reason.ENGINE_UNHEALTHY}:
        return Unavailable(
            f"the engine that would answer is not up: {errors[-1]}",
            code=Code.ENGINE_UNAVAILABLE,
            status=503,
            retry_after=retry_after,
        )
    if reasons == {Reason.UPSTREAM_TIMEOUT}:
        return Unavailable("no backend answered in time", code=Code.UPSTREAM_TIMEOUT, status=504)
    return Unavailable("no backend could answer", code=Code.UPSTREAM_ERROR, status=502)


def _request_refused(error: Refused, param: str) -> AnswerError:
    """A backend found fault with the request, and there was nobody left who might not."""
    if error.reason is Reason.CONTEXT_LENGTH:
        return RequestError(
            "the prompt is longer than any backend allowed here takes",
            code=Code.CONTEXT_LENGTH_EXCEEDED,
            param=param,
        )
    code = Code.CONTENT_FILTER if error.reason is Reason.CONTENT_FILTER else Code.REQUEST_REFUSED
    named = f" (its code: {error.upstream_code})" if error.upstream_code else ""
    return RequestError(f"the backend refuses this request{named}", code=code, param=error.upstream_param)


def _param_of(needs: frozenset[Capability]) -> str:
    """The body field behind the first need, in the order a caller would look."""
    fields = {
        Capability.TOOLS: "tools",
        Capability.JSON_SCHEMA: "response_format",
        Capability.JSON_OBJECT: "response_format",
        Capability.IMAGES: "messages",
        Capability.REMOTE_IMAGES: "messages",
        Capability.LOGPROBS: "logprobs",
        Capability.MULTIPLE_CHOICES: "n",
    }
    return next(field for need, field in fields.items() if need in needs)
