"""Limits of prompts and answers, as callers meet them and as everybody is told of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import SECRETS, TO_LIGHT, TO_MID, hash_of, one_engine, three_tiers
from tests.e2e.stack import Stack, running
from tests.faults.handle import FaultServer

LONG = "the quick brown fox jumps over the lazy dog " * 20


@pytest.fixture(scope="module")
def the_gateway(the_fault_server: FaultServer) -> Iterator[Stack]:
    """Two classes: one is shortened and lowered, of the other everything that is too long is refused by its class."""
    config = three_tiers(
        the_fault_server,
        auth={"mode": "keys"},
        classes={
            "chatty": {"max_prompt": 500, "truncation": "oldest_turns", "default_output": 64, "max_output": 100},
            "strict": {"max_prompt": 500},
        },
        tasks={"summary": {"max_output": 40}},
        tenants={
            name: {"class": name, "keys": [{"name": "ci", "hash": hash_of(f"key-of-{name}")}]}
            for name in ("chatty", "strict")
        },
    )
    with running(config, SECRETS) as stack:
        yield stack.ready("light", "mid", "premium")


@pytest.fixture
def gateway(the_gateway: Stack, faults: FaultServer) -> Stack:
    """That gateway, with nothing programmed."""
    return the_gateway


def ask(gateway: Stack, who: str, request_id: str, hints: dict[str, str], *, stream: bool, **more: Any) -> Told:
    """One chat of a tenant, whole or streamed."""
    headers = {"authorization": f"Bearer key-of-{who}", "x-request-id": request_id, **hints}
    if stream:
        return Told.streamed(gateway.events(headers=headers, **more))
    return Told.whole(gateway.chat(headers=headers, **more))


class Case(NamedTuple):
    """Who asks for which task and how much, what is sent on, and what is disclosed."""

    who: str
    task: dict[str, str]
    asked: dict[str, int]
    sent: int | None
    told: int | None


CASES = (
    Case("chatty", TO_LIGHT, {}, 64, 64),
    Case("chatty", TO_LIGHT, {"max_tokens": 900}, 100, 100),
    Case("chatty", TO_LIGHT, {"max_completion_tokens": 900}, 100, 100),
    Case("chatty", TO_LIGHT, {"max_tokens": 90}, 90, None),
    Case("chatty", TO_MID, {"max_tokens": 90}, 40, 40),
    Case("strict", TO_MID, {"max_tokens": 90}, 40, 40),
    Case("strict", TO_LIGHT, {"max_tokens": 90}, 90, None),
    Case("strict", TO_LIGHT, {}, None, None),
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_answers_are_limited_by_task_and_class(
    gateway: Stack, faults: FaultServer, case: Case, *, stream: bool
) -> None:
    """The backend is sent the limit; header, object, ledger and log say where it is not the caller's."""
    request_id = f"output-{CASES.index(case)}-{stream}"
    answer = ask(gateway, case.who, request_id, case.task, stream=stream, **case.asked)
    (call,) = faults.settled()
    assert json.loads(call.body).get("max_tokens") == case.sent
    row = agree(answer, gateway.books, request_id)
    assert row["max_output"] == case.told
    assert answer.headers.get("x-forebay-max-output") == (None if case.told is None else str(case.told))
    assert gateway.logged(request_id).get("max_output") == case.told


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_conversation_loses_its_oldest_turns(gateway: Stack, faults: FaultServer, *, stream: bool) -> None:
    """Tools' results go with their calls; what went is counted in header, object, ledger and log."""
    call = {"id": "c-1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    old = [
        {"role": "user", "content": f"first {LONG}"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c-1", "content": LONG * 2},
        {"role": "assistant", "content": "Found."},
    ]
    kept = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Thanks. What is next?"},
    ]
    request_id = f"turns-{stream}"
    answer = ask(gateway, "chatty", request_id, TO_LIGHT, stream=stream, messages=[kept[0], *old, kept[1]])
    (sent,) = faults.settled()
    assert json.loads(sent.body)["messages"] == kept
    assert agree(answer, gateway.books, request_id)["dropped_turns"] == 4
    assert answer.headers["x-forebay-dropped-turns"] == "4"
    assert gateway.logged(request_id)["dropped_turns"] == 4


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("who", ["strict", "chatty"])
def test_a_prompt_that_stays_too_long_is_refused(
    gateway: Stack, faults: FaultServer, who: str, *, stream: bool
) -> None:
    """400 with the field and the limit; nobody is asked, and the ledger has it."""
    request_id = f"long-{who}-{stream}"
    messages = [{"role": "user", "content": LONG * 4}, {"role": "user", "content": LONG * 4}]
    headers = {"authorization": f"Bearer key-of-{who}", "x-request-id": request_id, **TO_LIGHT}
    answer = Told.whole(gateway.chat(headers=headers, messages=messages, stream=stream))
    assert answer.error is not None
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "context_length_exceeded", "messages")
    assert f"at most 500 are allowed (class {who})" in answer.error["message"]
    agree(answer, gateway.books, request_id, calls=())
    assert faults.calls() == ()


def test_anthropics_api_has_the_same_limits(gateway: Stack, faults: FaultServer) -> None:
    """What is decided is decided before anybody asks in which words the request came."""
    said = [
        {"role": "user", "content": f"first {LONG}"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c-1", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c-1", "content": LONG * 2}]},
        {"role": "assistant", "content": "Found."},
        {"role": "user", "content": "Thanks. What is next?"},
    ]
    headers = {"x-api-key": "key-of-chatty", "anthropic-version": "2023-06-01", **TO_LIGHT}
    body = {"model": "auto", "max_tokens": 900, "system": "Be brief.", "messages": said}
    answer = gateway.http.post(f"{gateway.url}/v1/messages", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert (answer.headers["x-forebay-max-output"], answer.headers["x-forebay-dropped-turns"]) == ("100", "4")
    assert (answer.json()["forebay"]["max_output"], answer.json()["forebay"]["dropped_turns"]) == (100, 4)
    (call,) = faults.settled()
    sent = json.loads(call.body)
    assert (sent["max_tokens"], [each["role"] for each in sent["messages"]]) == (100, ["system", "user"])
    strict = {**headers, "x-api-key": "key-of-strict"}
    refused = gateway.http.post(f"{gateway.url}/v1/messages", json=body, headers=strict)
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "at most 500 are allowed (class strict)" in refused.json()["error"]["message"]


def test_a_real_model_goes_on_with_what_fits(model_path: Path) -> None:
    """In a window of 512 tokens a long talk is answered, also one of which far more tokens are made than estimated."""
    code = "for(i=0;i<n;++i){a[i]=b[i]*c[i]+0x1f;}\n" * 4
    question = {"role": "user", "content": "What is two and two?"}
    policy = {"default_regions": "any", "truncation": "oldest_turns"}
    with running({**one_engine(), "policy": policy}, model=model_path) as stack:
        stack.ready("light")
        for text in ("The river rose again that night. " * 8, code):
            turns = [{"role": ("user", "assistant")[number % 2], "content": text} for number in range(60)]
            answer = Told.whole(stack.chat(messages=[*turns, question], max_tokens=8))
            assert answer.status == 200, answer.error
            assert 50 <= int(answer.headers["x-forebay-dropped-turns"]) <= 60
            agree(answer, stack.books, answer.headers["x-request-id"])
