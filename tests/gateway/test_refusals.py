"""Why nobody answered, as the one error that helps the caller most."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import AttemptError, Broken, Code, Reason, Refused, Rejected, RequestError, TimedOut, Unreachable
from gateway.refusals import nobody_allowed, nobody_answered
from gateway.types import Capability, Constraints, Exclusion, Tier
from tests.gateway.nouns import CONSTRAINTS, SLA, change

BY_SLA = change(CONSTRAINTS, sla=change(SLA, name="free", max_tier=Tier.LIGHT))
TOOLS = change(CONSTRAINTS, needs=frozenset({Capability.TOOLS, Capability.IMAGES}))
LONG = change(CONSTRAINTS, tokens_needed=5_000)

ALLOWED: list[tuple[list[Reason], Constraints, int, Code, str | None, str]] = [
    ([Reason.LOCAL_ONLY], CONSTRAINTS, 403, Code.RESIDENCY_NO_ELIGIBLE_BACKEND, None, "this box"),
    ([Reason.RESIDENCY], CONSTRAINTS, 403, Code.RESIDENCY_NO_ELIGIBLE_BACKEND, None, "regions"),
    ([Reason.LOCAL_ONLY, Reason.RESIDENCY], CONSTRAINTS, 403, Code.RESIDENCY_NO_ELIGIBLE_BACKEND, None, "regions"),
    ([Reason.SLA_CLASS], BY_SLA, 403, Code.POLICY_NO_ELIGIBLE_BACKEND, "model", "class free may use tiers up to light"),
    ([Reason.RESIDENCY, Reason.SLA_CLASS], BY_SLA, 403, Code.POLICY_NO_ELIGIBLE_BACKEND, "model", "free"),
    ([Reason.CAPABILITY], TOOLS, 400, Code.CAPABILITY_NO_ELIGIBLE_BACKEND, "tools", "images, tools"),
    ([Reason.LOCAL_ONLY, Reason.CAPABILITY], TOOLS, 400, Code.CAPABILITY_NO_ELIGIBLE_BACKEND, "tools", "allowed here"),
    ([Reason.CONTEXT_LENGTH], LONG, 400, Code.CONTEXT_LENGTH_EXCEEDED, "messages", "5000 tokens"),
    (
        [Reason.CONTEXT_LENGTH, Reason.CAPABILITY, Reason.RESIDENCY],
        LONG,
        400,
        Code.CONTEXT_LENGTH_EXCEEDED,
        "messages",
        "",
    ),
]
"""What excluded the backends; then status, code, param and words of the error."""


def excluded(reasons: list[Reason]) -> list[Exclusion]:
    """One backend per reason."""
    return [Exclusion(f"b{number}", Tier.MID, reason) for number, reason in enumerate(reasons)]


@pytest.mark.parametrize(("reasons", "constraints", "status", "code", "param", "words"), ALLOWED)
def test_nobody_is_allowed(
    reasons: list[Reason], constraints: Constraints, status: int, code: Code, param: str | None, words: str
) -> None:
    """The nearest miss is told, with the field that would mend it; no backend's name is."""
    error = nobody_allowed(excluded(reasons), constraints)
    assert (error.status, error.code, error.param, error.retry_after) == (status, code, param, None)
    assert words in error.message
    assert "b0" not in error.message


@pytest.mark.parametrize(
    ("need", "param"),
    [
        (Capability.TOOLS, "tools"),
        (Capability.JSON_OBJECT, "response_format"),
        (Capability.JSON_SCHEMA, "response_format"),
        (Capability.IMAGES, "messages"),
        (Capability.REMOTE_IMAGES, "messages"),
        (Capability.LOGPROBS, "logprobs"),
        (Capability.MULTIPLE_CHOICES, "n"),
    ],
)
def test_every_need_has_its_field(need: Capability, param: str) -> None:
    """A caller is told which field asked for what nobody here can do."""
    error = nobody_allowed(excluded([Reason.CAPABILITY]), change(CONSTRAINTS, needs=frozenset({need})))
    assert error.param == param
    assert need.value in error.message


def rejected(reason: Reason, retry_after: float | None = None) -> Rejected:
    """A candidate that never started."""
    return Rejected("engine small: starting", reason=reason, retry_after=retry_after)


def refused(
    status: int,
    reason: Reason = Reason.UPSTREAM_ERROR,
    code: str | None = None,
    param: str | None = None,
    retry_after: float | None = None,
) -> Refused:
    """A backend that answered with an error status."""
    return Refused(
        "mini: no", status=status, reason=reason, upstream_code=code, upstream_param=param, retry_after=retry_after
    )


BROKEN, LOST = Broken("mini: cut"), Unreachable("mini: cannot connect")
SLOW = TimedOut("mini: silent", stage="first_token")
LIMITED = refused(429, Reason.RATE_LIMIT, retry_after=7.5)

ANSWERED: list[tuple[list[AttemptError], int, Code, float | None]] = [
    ([rejected(Reason.NO_CAPACITY, 3.0)], 429, Code.NO_CAPACITY, 3.0),
    ([rejected(Reason.NO_CAPACITY, 0.2)], 429, Code.NO_CAPACITY, 1.0),
    ([rejected(Reason.NO_CAPACITY)], 429, Code.NO_CAPACITY, 1.0),
    ([rejected(Reason.NO_CAPACITY, 30.0), BROKEN, LIMITED], 429, Code.NO_CAPACITY, 7.5),
    ([LIMITED], 429, Code.RATE_LIMITED, 7.5),
    ([LIMITED, BROKEN], 429, Code.RATE_LIMITED, 7.5),
    ([refused(429, Reason.RATE_LIMIT), LIMITED], 429, Code.RATE_LIMITED, 7.5),
    ([rejected(Reason.ENGINE_UNHEALTHY, 2.0)], 503, Code.ENGINE_UNAVAILABLE, 2.0),
    ([rejected(Reason.ENGINE_UNHEALTHY)] * 2, 503, Code.ENGINE_UNAVAILABLE, 1.0),
    ([rejected(Reason.ENGINE_UNHEALTHY), BROKEN], 502, Code.UPSTREAM_ERROR, None),
    ([SLOW], 504, Code.UPSTREAM_TIMEOUT, None),
    ([SLOW, SLOW], 504, Code.UPSTREAM_TIMEOUT, None),
    ([SLOW, LOST], 502, Code.UPSTREAM_ERROR, None),
    ([LOST], 502, Code.UPSTREAM_ERROR, None),
    ([refused(500)], 502, Code.UPSTREAM_ERROR, None),
    ([refused(401)], 502, Code.UPSTREAM_ERROR, None),
    ([refused(404)], 502, Code.UPSTREAM_ERROR, None),
    ([refused(400)], 400, Code.REQUEST_REFUSED, None),
    ([refused(413)], 400, Code.REQUEST_REFUSED, None),
    ([refused(422), refused(400)], 400, Code.REQUEST_REFUSED, None),
    ([refused(400), BROKEN], 502, Code.UPSTREAM_ERROR, None),
    ([refused(400, Reason.CONTEXT_LENGTH)], 400, Code.CONTEXT_LENGTH_EXCEEDED, None),
    ([refused(400, Reason.CONTENT_FILTER)], 400, Code.CONTENT_FILTER, None),
]
"""What went wrong with the candidates, in order; then status, code and retry-after."""


@pytest.mark.parametrize(("errors", "status", "code", "retry_after"), ANSWERED)
def test_nobody_answered(errors: list[AttemptError], status: int, code: Code, retry_after: float | None) -> None:
    """What waiting would mend comes first, and the shortest wait of those named, but no less than a second."""
    error = nobody_answered(errors, deadline_passed=False)
    assert (error.status, error.code, error.retry_after) == (status, code, retry_after)


@pytest.mark.parametrize("errors", [errors for errors, *_ in ANSWERED])
def test_a_deadline_that_has_passed_is_the_reason(errors: list[AttemptError]) -> None:
    """Whatever went wrong before it."""
    error = nobody_answered(errors, deadline_passed=True)
    assert (error.status, error.code) == (504, Code.DEADLINE_EXCEEDED)


def test_what_a_backend_found_fault_with_is_passed_on() -> None:
    """Its short code and the field it named; never its message, which may quote the prompt."""
    error = nobody_answered([refused(400, code="bad_thing", param="tools[0]")], deadline_passed=False)
    assert isinstance(error, RequestError)
    assert "bad_thing" in error.message
    assert error.param == "tools[0]"
    assert "mini: no" not in error.message


ERRORS = st.one_of(
    st.builds(rejected, st.sampled_from([Reason.NO_CAPACITY, Reason.ENGINE_UNHEALTHY, Reason.UPSTREAM_ERROR])),
    st.builds(refused, st.sampled_from([400, 401, 404, 413, 422, 429, 500, 503, 529])),
    st.sampled_from([BROKEN, LOST, SLOW, LIMITED]),
)


@given(st.lists(ERRORS, max_size=4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_429_and_503_says_when_to_come_back(errors: list[AttemptError], late: bool) -> None:  # noqa: FBT001 - drawn
    """And there is an answer for every combination of failures, none included."""
    error = nobody_answered(errors, deadline_passed=late)
    assert 400 <= error.status < 600
    assert (error.retry_after is not None) >= (error.status in (429, 503))
    assert error.retry_after is None or error.retry_after >= 1
