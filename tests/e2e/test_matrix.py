"""Every request through every pair of client and backend: answered, refused, or routed, and never dropped silently."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from gateway.types import Capability
from tests.e2e.callers import CALLERS, Caller, Question, Refused, Said
from tests.e2e.configs import TO_LIGHT
from tests.e2e.hearing import heard
from tests.e2e.matrix_rows import CANNOT, ROWS, Row
from tests.e2e.stack import Stack
from tests.faults.behaviours import Behaviour, Raw, Says, Status
from tests.faults.handle import FaultServer

MODELS = {"mini": "gpt", "claude": "claude"}
"""What the provider is called behind each backend; the other one is a real engine."""

PAIRS = [
    (name, client, backend)
    for name, row in ROWS.items()
    for client in CALLERS
    for backend in CANNOT
    if row.fields(client) is not None and (backend in MODELS or not row.of_the_answer)
]
ROUTED = [(name, client) for name, client, backend in PAIRS if backend == "mini" and not ROWS[name].of_the_answer]


@pytest.fixture(scope="module")
def callers(the_three_apis: Stack) -> Iterator[dict[str, Caller]]:
    """A client of each API."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(closing(caller(the_three_apis))) for name, caller in CALLERS.items()}


def question(row: Row, client: str, model: str, *, stream: bool) -> Question:
    """The row's; nobody else is asked because of what the first has said."""
    fields = row.fields(client)
    assert fields is not None
    return Question(model, fields, stream, {**TO_LIGHT, "x-forebay-no-escalation": "true"})


def assert_understood(row: Row, strict: FaultServer, client: str, backend: str, said: Said) -> None:
    """The caller was told what the backend said, and the backend what the caller asked, down to what it was not."""
    assert said.ignored == row.ignored.get((client, backend), set())
    assert bool(said.logprobs) == (Capability.LOGPROBS in row.needs)
    if backend not in MODELS:
        assert {name: getattr(said, name) for name in row.anyhow} == row.anyhow
        assert said.usage[1] > 0
        assert all(name == "weather" and set(arguments) == {"city"} for name, arguments in said.calls)
        assert "schema" not in row.heard or set(json.loads(said.text)) == {"city"}
        assert strict.calls() == ()
        return
    (call,) = strict.settled()
    assert call.problem is None
    found = heard(call)
    assert {name: found.get(name) for name in row.heard} == row.heard
    assert {name: getattr(said, name) for name in row.says} == row.says
    assert (said.model, said.text) == (MODELS[backend], row.plays.text or "")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "client", "backend"), PAIRS)
def test_a_pinned_backend_answers_or_is_refused(
    callers: dict[str, Caller], strict: FaultServer, name: str, client: str, backend: str, *, stream: bool
) -> None:
    """What it can do it is asked in its own words; what it cannot is an error, and it hears nothing of it."""
    row = ROWS[name]
    for model in MODELS.values():
        strict.always(model, row.plays)
    found = callers[client].ask(question(row, client, backend, stream=stream))
    refusal = row.refusal(backend)
    if refusal is not None:
        assert isinstance(found, Refused)
        assert (found.status, found.code) == (400, refusal)
        assert strict.calls() == ()
        return
    assert isinstance(found, Said)
    assert (found.headers["x-forebay-backend"], found.forebay["backend"]) == (backend, backend)
    assert_understood(row, strict, client, backend, found)


@pytest.mark.parametrize(("name", "client"), ROUTED)
def test_a_routed_request_goes_to_the_first_who_can(
    callers: dict[str, Caller], strict: FaultServer, name: str, client: str
) -> None:
    """The box first; where it cannot, whoever comes next and can, and the reason says so."""
    row = ROWS[name]
    for model in MODELS.values():
        strict.always(model, row.plays)
    able = next(backend for backend in CANNOT if row.refusal(backend) is None)
    found = callers[client].ask(question(row, client, "auto", stream=False))
    assert isinstance(found, Said)
    assert found.headers["x-forebay-backend"] == able
    if able != "local":
        assert found.headers["x-forebay-reason"] == ("context_length" if row.too_long else "capability")
    assert_understood(row, strict, client, able, found)


@dataclass(frozen=True, slots=True)
class Breakable:
    """A provider that no test has met, behind a gateway with others."""

    stack: Stack
    server: FaultServer
    name: str


@pytest.fixture
def of_openai(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> Breakable:
    """One of OpenAI's API."""
    return Breakable(frail_stack, faults, frail_backend)


@pytest.fixture
def of_anthropic(apis: Stack, strict: FaultServer, frail_claude: str) -> Breakable:
    """One of Anthropic's API."""
    return Breakable(apis, strict, frail_claude)


ERRORS: dict[str, tuple[Behaviour, int, str, str]] = {
    "the request": (Status(status=400), 400, "request_refused", "upstream_error"),
    "the key": (Status(status=401), 502, "upstream_error", "upstream_error"),
    "a limit": (Status(status=429, headers={"retry-after": "20"}), 429, "rate_limit_exceeded", "rate_limit"),
    "itself": (Status(status=500), 502, "upstream_error", "upstream_error"),
    "overload": (Status(status=529, headers={"retry-after": "0"}), 502, "upstream_error", "upstream_error"),
    "time": (Status(status=504), 504, "upstream_timeout", "upstream_timeout"),
    "no API": (Raw(body="<html>"), 502, "upstream_error", "upstream_error"),
}
"""What is wrong: status and code for the caller, and why somebody else is asked."""


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("client", CALLERS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["of_openai", "of_anthropic"])
def test_an_error_is_the_clients_own_and_another_may_answer(
    request: pytest.FixtureRequest, kind: str, client: str, name: str, *, stream: bool
) -> None:
    """In its API's shape, with our code; whoever may ask another backend gets its answer, and the reason."""
    broken: Breakable = request.getfixturevalue(kind)
    does, status, code, reason = ERRORS[name]
    broken.server.always(broken.name, does)
    with closing(CALLERS[client](broken.stack)) as caller:
        asked = question(ROWS["plain"], client, broken.name, stream=stream)
        found = caller.ask(asked)
        assert isinstance(found, Refused)
        assert (found.status, found.code) == (status, code)
        assert ("retry-after" in found.headers) == (status == 429)
        other = caller.ask(replace(asked, headers={"x-forebay-allow-fallback": "true"}))
    assert isinstance(other, Said)
    assert other.headers["x-forebay-reason"] == reason


@pytest.mark.parametrize("ends", ["close", "unfinished", "error"])
@pytest.mark.parametrize("client", CALLERS)
@pytest.mark.parametrize("kind", ["of_openai", "of_anthropic"])
def test_a_broken_stream_is_no_answer_to_any_client(
    request: pytest.FixtureRequest, kind: str, client: str, ends: Literal["close", "unfinished", "error"]
) -> None:
    """Whoever broke it, and whoever reads it: the client raises its own error, and none gets half an answer for one."""
    broken: Breakable = request.getfixturevalue(kind)
    broken.server.next(broken.name, Says(text="one two three four", ends=ends, after=3))
    with closing(CALLERS[client](broken.stack)) as caller:
        found = caller.ask(question(ROWS["plain"], client, broken.name, stream=True))
    assert isinstance(found, Refused)
    assert (found.status, found.code) == (200, "upstream_interrupted")
