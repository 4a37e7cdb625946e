"""A backend whose engine is not there, and one whose engine is killed: another real engine answers in their place."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import base
from tests.e2e.homes import MODEL
from tests.e2e.stack import Stack, eventually, running


@pytest.fixture(scope="module")
def stack(model_path: Path) -> Iterator[Stack]:
    """`local` is served by `main`, `far` by an engine that is not there; `spare` stands by for both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
        small = {"kind": "llama_cpp", "model": MODEL, "parallel": 2, "threads": 1}
        config = base(
            engines={
                "main": {**small, "context": 1024, "standby": "spare"},
                "away": {"kind": "attached", "urls": [nowhere], "standby": "spare", "capabilities": ["tools"]},
                "spare": {**small, "context": 512},
            },
            backends={"local": {"engine": "main"}, "far": {"engine": "away"}},
            tiers={"light": ["local"], "mid": ["far"], "premium": []},
            gate={"max_wait_alone_ms": 3_000},
        )
        with running(config, model=model_path) as found:
            found.ready("light", "mid")
            eventually(lambda: all(found.gate(name)["ready"] for name in ("main", "spare")), "both engines are up")
            yield found


def pid_of(stack: Stack, engine: str) -> int | None:
    """The process that the host has written down for an engine."""
    engines = json.loads((stack.home / "run" / "engines.json").read_bytes())["engines"]
    return next((int(each["pid"]) for each in engines if each["name"] == engine and each["pid"]), None)


@pytest.mark.parametrize("model", ["far", "mid"])
def test_it_answers_under_the_backends_name_and_says_so(stack: Stack, model: str) -> None:
    """In the `forebay` object, in the ledger, at /ready and in the metrics; pinned or by tier."""
    before = stack.metric("forebay_attempts_total", backend="far", engine="spare")
    answer = stack.chat(model, max_tokens=4)
    assert answer.status_code == 200, answer.text
    told = answer.json()["forebay"]
    assert (told["backend"], told["served_by"]) == ("far", "spare")
    agree(Told.whole(answer), stack.books, answer.headers["x-request-id"])
    (call,) = stack.books.attempts(answer.headers["x-request-id"])
    assert (call["backend"], call["served_by"]) == ("far", "spare")
    assert stack.metric("forebay_attempts_total", backend="far", engine="spare") == before + 1
    found = stack.readiness()["tiers"]["mid"]["backends"]["far"]
    assert found["state"] == "ready"
    assert found["detail"].startswith("spare answers for away, which is ")


def test_a_stream_says_so_at_its_end(stack: Stack) -> None:
    """As far as the engine goes, streams are like whole answers."""
    events = stack.events("far", max_tokens=4)
    assert events.done
    assert events.forebay is not None
    assert (events.forebay["backend"], events.forebay["served_by"]) == ("far", "spare")
    agree(Told.streamed(events), stack.books, events.response.headers["x-request-id"])


def test_what_it_cannot_do_is_not_sent_to_it(stack: Stack) -> None:
    """The engine could: so the caller is told that it is down, and when to come back, and not that they are wrong."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    asked = stack.metric("forebay_attempts_total", engine="spare")
    answer = stack.chat("far", max_tokens=4, tools=tools)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"]
    assert stack.metric("forebay_attempts_total", engine="spare") == asked


def test_a_killed_engine_is_stood_in_for_until_it_is_back(stack: Stack) -> None:
    """Nobody who asks meanwhile is refused: first the standby answers, then the engine again, without help."""
    assert served_by(stack) == "main"
    killed = pid_of(stack, "main")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: served_by(stack) == "spare", "the standby answers")
    eventually(lambda: served_by(stack) == "main", "the engine answers again", 60)
    assert pid_of(stack, "main") not in (None, killed)


def served_by(stack: Stack) -> str:
    """The engine that answers a request for `local`; fails where none does."""
    answer = stack.chat("local", max_tokens=1)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["forebay"]["served_by"])
