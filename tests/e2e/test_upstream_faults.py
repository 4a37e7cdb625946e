"""Providers that fail before they have answered: what the caller sees, who is asked next, and what is charged."""

import time
from typing import Any

import openai
import pytest

from tests.e2e.agreement import Told
from tests.e2e.events import Events
from tests.e2e.faults_table import GARBAGE, REFUSED, SAID, STREAMED, UNSTREAMED, Fault
from tests.e2e.stack import Stack
from tests.faults.behaviours import Says, Status
from tests.faults.handle import FaultServer

KINDS = [(False, name) for name in UNSTREAMED] + [(True, name) for name in STREAMED]


def ask(stack: Stack, backend: str, *, stream: bool, fallback: bool) -> Told:
    """A question to one backend, alone or with others behind it."""
    headers = {"x-forebay-allow-fallback": "true"} if fallback else {}
    if not stream:
        return Told.whole(stack.chat(backend, headers=headers))
    with stack.stream(backend, headers=headers) as response:
        response.read()
    if response.headers["content-type"] == "application/json":
        return Told.whole(response)
    return Told.streamed(Events(response.content, response))


def fault_of(name: str, *, stream: bool) -> Fault:
    """By table and name."""
    return (STREAMED if stream else UNSTREAMED)[name]


@pytest.mark.parametrize(("stream", "name"), KINDS)
def test_alone_a_failed_backend_is_an_error_in_our_words(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, name: str, *, stream: bool
) -> None:
    """Status and code tell what happened, in our own words, and what may have been billed is not asked again."""
    fault = fault_of(name, stream=stream)
    faults.always(frail_backend, fault.does)
    told = ask(frail_stack, frail_backend, stream=stream, fallback=False)
    calls = faults.settled()
    assert told.error is not None
    assert (told.status, told.error["code"]) == (fault.status, fault.code)
    assert SAID not in str(told.error)
    assert ("retry-after" in told.headers) == (fault.status in (429, 503))
    assert len(calls) == fault.calls
    row = frail_stack.books.request(told.headers["x-request-id"])
    assert (row["status"], row["code"], row["http_status"]) == ("refused", fault.code, fault.status)
    assert row["attempts"] == fault.calls
    if name in REFUSED:
        assert row["cost_nano_usd"] == 0


@pytest.mark.parametrize(("stream", "name"), KINDS)
def test_with_somebody_else_there_the_caller_is_answered(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, name: str, *, stream: bool
) -> None:
    """The next candidate answers, its reason says what was wrong with the first, and the first is asked just once."""
    fault = fault_of(name, stream=stream)
    faults.always(frail_backend, fault.does)
    told = ask(frail_stack, frail_backend, stream=stream, fallback=True)
    assert told.status == 200
    assert told.forebay is not None
    assert (told.forebay["backend"], told.forebay["reason"], told.forebay["escalated"]) == ("safe", fault.reason, False)
    assert [call.model for call in faults.settled()] == [frail_backend, "safe"]
    failed, answered = frail_stack.books.attempts(told.forebay["request_id"])
    assert (failed["status"], failed["error"], answered["status"]) == ("failed", fault.reason, "answered")
    assert SAID not in str(failed["detail"])
    if name in REFUSED:
        assert (failed["cost_nano_usd"], failed["usage_quality"]) == (0, "exact")
    else:
        assert failed["cost_nano_usd"] > 0, "it may have been billed"


@pytest.mark.parametrize("name", GARBAGE)
def test_an_answer_that_is_none_is_a_server_error_to_the_client_library(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, name: str
) -> None:
    """The official client raises InternalServerError, never an answer."""
    faults.always(frail_backend, GARBAGE[name].does)
    with frail_stack.openai() as client, pytest.raises(openai.InternalServerError) as error:
        client.chat.completions.create(model=frail_backend, messages=[{"role": "user", "content": "Say hello."}])
    assert error.value.code == "upstream_error"


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_listens(frail_stack: Stack, faults: FaultServer, *, stream: bool) -> None:
    """A refused connection is tried once more, because nothing can have been billed, and costs nothing."""
    told = ask(frail_stack, "nobody", stream=stream, fallback=False)
    assert told.error is not None
    assert (told.status, told.error["code"]) == (502, "upstream_error")
    attempts = frail_stack.books.attempts(told.headers["x-request-id"])
    assert [(attempt["status"], attempt["cost_nano_usd"]) for attempt in attempts] == [("failed", 0), ("failed", 0)]
    assert faults.calls() == ()


@pytest.mark.parametrize("wait", ["soon", "-5", "1e9999", "", "Thu, 01 Jan 1970 00:00:00 GMT", "0.01", "1_000"])
def test_an_odd_retry_after_delays_nobody(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, wait: str
) -> None:
    """Whatever stands there, the caller has an answer within seconds, and one retry is the most that is made."""
    faults.always(frail_backend, Status(status=429, headers={"retry-after": wait}))
    began = time.monotonic()
    told = ask(frail_stack, frail_backend, stream=False, fallback=False)
    assert time.monotonic() - began < 5
    assert told.status == 429
    assert 1 <= int(told.headers["retry-after"]) <= 60
    assert len(faults.settled()) <= 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_that_works_is_an_answer(
    frail_stack: Stack, faults: FaultServer, frail_backend: str, status: int, *, stream: bool
) -> None:
    """What was refused once is answered the second time; both calls are in the ledger, one of them costs."""
    faults.next(frail_backend, Status(status=status, headers={"retry-after": "0"}))
    told = ask(frail_stack, frail_backend, stream=stream, fallback=False)
    assert told.forebay is not None
    first, second = frail_stack.books.attempts(told.forebay["request_id"])
    assert (first["status"], first["cost_nano_usd"], second["status"]) == ("failed", 0, "answered")
    assert second["cost_nano_usd"] > 0


def test_the_wait_a_backend_asks_for_is_kept(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """retry-after: 1 is waited for before the retry."""
    faults.next(frail_backend, Status(status=429, headers={"retry-after": "1"}))
    told = ask(frail_stack, frail_backend, stream=False, fallback=False)
    assert told.status == 200
    first, second = faults.settled()
    assert second.arrived_at - first.arrived_at > 0.95


def test_a_long_wait_is_passed_on_and_kept_from_the_backend(
    frail_stack: Stack, faults: FaultServer, frail_backend: str
) -> None:
    """retry-after: 30 reaches the caller, and until then the backend is not asked again, nor does it look quick."""
    faults.always(frail_backend, Status(status=429, headers={"retry-after": "30"}))
    waits = [
        int(ask(frail_stack, frail_backend, stream=False, fallback=False).headers.get("retry-after", "0"))
        for _ in range(2)
    ]
    assert waits[0] == 30
    assert len(faults.settled()) == 1
    assert ask(frail_stack, frail_backend, stream=False, fallback=True).status == 200
    assert [call.model for call in faults.settled()] == [frail_backend, "safe"]


def test_a_provider_may_count_nothing(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """Usage 0 is a value: it is told and charged as it stands."""
    faults.next(frail_backend, Says(prompt_tokens=0, completion_tokens=0))
    told = ask(frail_stack, frail_backend, stream=False, fallback=False)
    assert told.usage is not None
    assert told.usage["total_tokens"] == 0
    row = frail_stack.books.request(told.headers["x-request-id"])
    assert (row["cost_nano_usd"], row["usage_quality"]) == (0, "exact")


def test_the_key_of_a_provider_goes_to_that_provider_alone(tiers: Stack, faults: FaultServer) -> None:
    """The configured secret is sent where it belongs, the caller's own key nowhere."""
    mine: dict[str, Any] = {"authorization": "Bearer sk-of-the-caller", "x-api-key": "sk-of-the-caller"}
    for model in ("light", "mid", "premium"):
        tiers.chat(model, headers=mine)
    light, mid, premium = faults.settled()
    assert premium.headers["authorization"] == "Bearer sk-premium-secret"
    assert "authorization" not in light.headers
    assert "authorization" not in mid.headers
    assert all("sk-of-the-caller" not in str(call) for call in (light, mid, premium))
