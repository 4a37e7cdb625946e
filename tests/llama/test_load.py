"""Many requests at once, requests that are given up, and more requests than there is room for."""

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.llama.engine_process import EngineProcess, events, eventually, running

ENDLESS: dict[str, Any] = {"logit_bias": {"0": -100, "2": -100}, "temperature": 0}


@pytest.fixture(scope="module")
def small(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """Two slots, and a line for two."""
    folder = tmp_path_factory.mktemp("small")
    with running(model_path, folder, "--parallel", "2", "--context", "2048", "--max-waiting", "2") as engine:
        yield engine.ready()


def counts(engine: EngineProcess) -> tuple[float, float, float]:
    """Running, waiting, and the used part of the KV cache."""
    return (
        engine.metric("vllm:num_requests_running"),
        engine.metric("vllm:num_requests_waiting"),
        engine.metric("vllm:kv_cache_usage_perc"),
    )


@contextlib.contextmanager
def endless(engine: EngineProcess, **more: Any) -> Iterator[Iterator[Any]]:
    """A stream that goes on for 2,000 tokens unless it is closed."""
    body = {"prompt": "Once", "stream": True, **ENDLESS, **more}
    with engine.http.stream("POST", "/v1/completions", json=body) as response:
        assert response.status_code == 200
        yield events(response)


def test_closing_a_stream_frees_its_slot(small: EngineProcess) -> None:
    """The sequences stop long before their 2,000 tokens, and the KV cache is empty again."""
    aborted = small.metric("vllm:request_success_total", finished_reason="abort")
    with endless(small) as stream, endless(small) as other:
        next(stream)
        next(other)
        running_now, _, used = counts(small)
        assert running_now == 2
        assert used > 0
    eventually(lambda: counts(small) == (0, 0, 0), "both slots are free", 10)
    assert small.metric("vllm:request_success_total", finished_reason="abort") == aborted + 2


def test_closing_an_unstreamed_request_frees_its_slot(small: EngineProcess) -> None:
    """A silent connection is watched as well, running or waiting in line."""
    with endless(small, n=2) as stream:
        next(stream)
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                small.http.post("/v1/completions", json={"prompt": "x", **ENDLESS}, timeout=0.5)
        eventually(lambda: counts(small)[:2] == (2, 0), "those who waited are gone", 10)
    with pytest.raises(httpx.ReadTimeout):
        small.http.post("/v1/completions", json={"prompt": "x", **ENDLESS}, timeout=0.5)
    eventually(lambda: counts(small) == (0, 0, 0), "nothing is left", 10)


def test_more_than_may_wait_are_refused_with_retry_after(small: EngineProcess) -> None:
    """Two run, two wait, the fifth gets a 503 at once; afterwards everything is as before."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(small.post("/v1/completions", prompt="x", max_tokens=2, **ENDLESS))

    with endless(small, n=2) as stream:
        next(stream)
        waiting = [threading.Thread(target=ask) for _ in range(2)]
        for thread in waiting:
            thread.start()
        eventually(lambda: counts(small)[1] == 2, "two requests wait", 10)
        refused = small.post("/v1/completions", prompt="x", max_tokens=2)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "overloaded"
        assert refused.json()["error"]["type"] == "server_error"
        assert int(refused.headers["retry-after"]) >= 1
    for thread in waiting:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [200, 200]
    eventually(lambda: counts(small) == (0, 0, 0), "nothing is left", 10)


def test_a_long_prompt_does_not_freeze_a_running_stream(small: EngineProcess) -> None:
    """While 600 prompt tokens are evaluated the stream goes on, a token with every share of the prompt."""
    with endless(small) as stream:
        next(stream)
        before = small.metric("vllm:prompt_tokens_total")
        other = threading.Thread(
            target=lambda: small.post("/v1/completions", prompt=" word" * 600, max_tokens=1, temperature=0)
        )
        other.start()
        during = 0
        while other.is_alive():
            next(stream)
            during += 1
        other.join()
        assert small.metric("vllm:prompt_tokens_total") - before == 600
    assert during > 10
    eventually(lambda: counts(small) == (0, 0, 0), "nothing is left", 10)


def test_a_short_prompt_passes_a_long_one(small: EngineProcess) -> None:
    """A request that arrives behind a long prompt has its answer before that prompt is done."""
    first: list[str] = []

    def ask(name: str, prompt: str) -> None:
        small.post("/v1/completions", prompt=prompt, max_tokens=1, temperature=0)
        first.append(name)

    long = threading.Thread(target=ask, args=("long", " word" * 1_900))
    long.start()
    eventually(lambda: counts(small)[0] == 1, "the long prompt has begun", 10)
    ask("short", "Hello")
    long.join(100)
    assert first == ["short", "long"]


def test_an_urgent_request_is_answered_before_one_that_has_waited_longer(small: EngineProcess) -> None:
    """Both wait for a slot, and both slots come free at once: the field `priority` says whose prompt is read first."""
    first: list[int] = []

    def ask(path: str, priority: int, **prompt: Any) -> None:
        answer = small.post(path, max_tokens=1, temperature=0, priority=priority, **prompt)
        assert answer.status_code == 200
        first.append(priority)

    batch = threading.Thread(target=ask, args=("/v1/completions", 1), kwargs={"prompt": " word" * 300})
    turns = [{"role": "user", "content": " word" * 300}]
    urgent = threading.Thread(target=ask, args=("/v1/chat/completions", -1), kwargs={"messages": turns})
    with endless(small, n=2) as stream:
        next(stream)
        batch.start()
        eventually(lambda: counts(small)[1] == 1, "the one that is not urgent waits", 10)
        urgent.start()
        eventually(lambda: counts(small)[1] == 2, "both wait", 10)
    for thread in (batch, urgent):
        thread.join(60)
    assert first == [-1, 1]


def test_hundreds_of_requests_with_random_cancellations_leave_nothing_behind(small: EngineProcess) -> None:
    """Every accepted request ends, every slot comes free, and the numbers add up."""
    before = {reason: small.metric("vllm:request_success_total", finished_reason=reason) for reason in ENDINGS}
    lock = threading.Lock()
    outcomes: list[str] = []

    def client(seed: int) -> None:
        dice = random.Random(seed)
        with httpx.Client(base_url=small.url, timeout=60) as http:
            for _ in range(25):
                outcome = one_request(http, dice)
                with lock:
                    outcomes.append(outcome)

    clients = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(110)
    assert len(outcomes) == 200
    eventually(lambda: counts(small) == (0, 0, 0), "nothing is left", 10)
    after = {reason: small.metric("vllm:request_success_total", finished_reason=reason) for reason in ENDINGS}
    accepted = sum(after[reason] - before[reason] for reason in ENDINGS)
    assert accepted >= outcomes.count("whole") + outcomes.count("cut")
    assert after["length"] - before["length"] >= outcomes.count("whole") > 0
    assert after["error"] == before["error"]


ENDINGS = ("stop", "length", "abort", "error")


def one_request(http: httpx.Client, dice: random.Random) -> str:
    """A short stream that may be closed early: whole, cut or refused."""
    tokens = dice.randint(1, 6)
    body = {"prompt": "Go", "max_tokens": tokens, "stream": True, "n": 1, **ENDLESS}
    with http.stream("POST", "/v1/completions", json=body) as response:
        if response.status_code == 503:
            return "refused"
        if dice.random() < 0.4:
            return "cut"
        return "whole" if list(events(response))[-1] == "[DONE]" else "broken"
