"""A real vLLM on the CPU, started by a gateway, asked through it, killed in every way, and brought back."""

import json
import os
import signal
import time

import psutil
import pytest

from local_models.proctable import session_members
from tests.e2e.stack import Stack, eventually
from tests.vllm.conftest import START_S, is_up, log_of

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

NOTICED_S = 30.0


def guard_of(stack: Stack) -> int:
    """The process that the host began: the guard, which leads the engine's session."""
    (engine,) = json.loads((stack.home / "run" / "engines.json").read_bytes())["engines"]
    return int(engine["pid"])


def server_of(stack: Stack) -> psutil.Process:
    """vLLM's API server, the guard's one child."""
    (server,) = psutil.Process(guard_of(stack)).children()
    return server


def core_of(stack: Stack) -> psutil.Process:
    """The process that holds the model."""
    return max(server_of(stack).children(recursive=True), key=lambda process: process.memory_info().rss)


def words_of(stack: Stack) -> list[str]:
    """How it was started."""
    return psutil.Process(guard_of(stack)).cmdline()


def counted(stack: Stack, name: str) -> float:
    """What its own metrics say."""
    port = words_of(stack)[words_of(stack).index("--port") + 1]
    lines = stack.http.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_it_is_asked_only_after_its_canaries(gateway: Stack) -> None:
    """One token, then 512: both stand in its counters before anybody is let in."""
    assert counted(gateway, "vllm:prompt_tokens_total") >= 513
    assert "--max-num-queued-reqs" in words_of(gateway), "this version has them"


def test_a_chat_with_logprobs(gateway: Stack) -> None:
    """The gateway scores it by them, and the caller gets them on request."""
    answer = gateway.chat("light", max_tokens=8, temperature=0, logprobs=True, top_logprobs=3)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-forebay-backend"] == "small"
    tokens = answer.json()["choices"][0]["logprobs"]["content"]
    assert len(tokens) == answer.json()["usage"]["completion_tokens"]
    assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 3 for token in tokens)


def test_a_stream_says_what_the_whole_answer_says(gateway: Stack) -> None:
    """Greedy: piece by piece or in one, the text is the same."""
    whole = gateway.chat("small", max_tokens=24, temperature=0).json()
    events = gateway.events("small", max_tokens=24, temperature=0)
    assert events.done
    assert events.error is None
    assert events.text == whole["choices"][0]["message"]["content"]


def test_who_hangs_up_is_not_worked_for(gateway: Stack) -> None:
    """vLLM's own count of requests at work falls to none."""
    with gateway.stream("small", "Tell me a long story.", max_tokens=900, min_tokens=900, temperature=0) as response:
        assert next(response.iter_bytes())
    eventually(lambda: gateway.gate("gpu")["in_use"] == 0, "the slot is free", 10)
    eventually(lambda: counted(gateway, "vllm:num_requests_running") == 0, "vLLM has let go of it", 30)


@pytest.mark.parametrize("victim", ["API server", "engine core", "exit"])
def test_it_comes_back_and_leaves_nothing_behind(gateway: Stack, victim: str) -> None:
    """kill -9 of the API server, of the engine core, and an orderly exit with code 0: each is a crash."""
    guard, server, core = guard_of(gateway), server_of(gateway), core_of(gateway)
    match victim:
        case "API server":
            server.kill()
        case "engine core":
            core.kill()
        case _:
            server.send_signal(signal.SIGTERM)
    began = time.monotonic()
    eventually(lambda: not is_up(gateway), f"the end of the {victim} is noticed", NOTICED_S)
    eventually(
        lambda: session_members(guard) == (), f"nothing of it is left: {log_of(gateway.home)[-2000:]}", NOTICED_S
    )
    assert not core.is_running()
    eventually(
        lambda: is_up(gateway), f"back after {time.monotonic() - began}: {log_of(gateway.home)[-3000:]}", START_S
    )
    assert guard_of(gateway) != guard
    assert gateway.chat("small", max_tokens=4).status_code == 200


def test_kill_9_of_the_host_leaves_nothing_behind(gateway: Stack) -> None:
    """No signal of a parent's death reaches vLLM's children; the guard ends them."""
    guard = guard_of(gateway)
    host = psutil.Process(guard).parent()
    assert host is not None
    os.kill(host.pid, signal.SIGKILL)
    eventually(lambda: session_members(guard) == (), "nothing of it is left", NOTICED_S)
    eventually(lambda: is_up(gateway), "another host has begun another", START_S)
