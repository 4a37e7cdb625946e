"""A real vLLM on the CPU, started by a gateway and asked through it."""

import asyncio

import psutil
import pytest

from tests.e2e.asleep import asleep
from tests.e2e.crowd import Crowd, Kind
from tests.e2e.homes import processes_of
from tests.e2e.stack import Stack, eventually
from tests.vllm.processes import members_of, snapshot_of, words_of

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ASLEEP_S = 8.0
LONG = {"local": Kind("local", body={"min_tokens": 80, "max_tokens": 80, "temperature": 0})}


def counted(stack: Stack, name: str) -> float:
    """What its own metrics say."""
    words = words_of(stack.home)
    lines = stack.http.get(f"http://127.0.0.1:{words[words.index('--port') + 1]}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_it_is_asked_only_after_its_canaries(gateway: Stack) -> None:
    """One token, then 512: both stand in its counters before anybody is let in."""
    assert counted(gateway, "vllm:prompt_tokens_total") >= 513
    assert "--max-num-queued-reqs" in words_of(gateway.home), "this version has them"


def test_a_chat_with_logprobs(gateway: Stack) -> None:
    """The gateway scores it by them, and the caller gets them on request."""
    answer = gateway.chat("local", max_tokens=8, temperature=0, logprobs=True, top_logprobs=3)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-forebay-backend"] == "local"
    tokens = answer.json()["choices"][0]["logprobs"]["content"]
    assert len(tokens) == answer.json()["usage"]["completion_tokens"]
    assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 3 for token in tokens)


def test_a_stream_says_what_the_whole_answer_says(gateway: Stack) -> None:
    """Greedy: piece by piece or in one, the text is the same."""
    whole = gateway.chat("local", max_tokens=24, temperature=0).json()
    events = gateway.events("local", max_tokens=24, temperature=0)
    assert events.done
    assert events.error is None
    assert events.text == whole["choices"][0]["message"]["content"]


def test_who_hangs_up_is_not_worked_for(gateway: Stack) -> None:
    """vLLM's own count of requests at work falls to none."""
    with gateway.stream("local", "Tell me a long story.", max_tokens=900, min_tokens=900, temperature=0) as response:
        assert next(response.iter_bytes())
    eventually(lambda: gateway.gate("small")["in_use"] == 0, "the slot is free", 10)
    eventually(lambda: counted(gateway, "vllm:num_requests_running") == 0, "vLLM has let go of it", 30)


async def test_a_machine_that_slept_takes_it_for_no_hang(gateway: Stack) -> None:
    """Everything stands still for more than twice as long as a core may: its streams go on, and nobody ends it."""
    before = await asyncio.to_thread(snapshot_of, gateway.home)
    vllm = [psutil.Process(member.pid) for member in members_of(gateway.home)]
    async with Crowd(gateway.base_url, LONG) as crowd:
        crowd.ask("sleeper", ["local"] * 4)
        await crowd.streaming("local", pieces=20)
        async with asleep([*processes_of(gateway.home), *vllm], ASLEEP_S):
            assert not any(caller.over for caller in crowd.callers)
        await crowd.ended()
    read = [caller.events for caller in crowd.callers]
    assert [(each.error, each.done, each.finish_reason) for each in read] == [(None, True, "length")] * len(read)
    after = await asyncio.to_thread(snapshot_of, gateway.home)
    assert (after.pid, after.restarts, after.hung) == (before.pid, before.restarts, False)
