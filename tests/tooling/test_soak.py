"""`scripts/bench soak`: a short one on the real engine, and what it would complain of."""

import json
import random
from pathlib import Path

import pytest

from scripts.benchmarks.soak import Outcome, aside_tokens, gauges, problems, run, told
from scripts.benchmarks.soak_load import Tally, asked, problem_of

REST = {"num_requests_running": 0.0, "num_requests_waiting": 0.0, "kv_cache_usage_perc": 0.0}
GOOD = Outcome(Tally(ended=60, given_up=40), REST, Tally(ended=8), (200.0, 205.0))


def test_the_engine_ends_as_it_began(model_path: Path) -> None:
    """Many short requests, some given up: every other one ends, nothing stays in use, no slot is stuck."""
    totals: list[int] = []
    outcome = run(model_path, 80, 5, lambda tally: totals.append(tally.total))
    assert outcome.tally.total == 80
    assert outcome.tally.ended > 20
    assert outcome.tally.given_up > 5
    assert totals == [*range(1, 81)]
    # Memory is still being taken for the first time in so short a run.
    assert problems(outcome._replace(memory_mb=(1.0, 1.0))) == []


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        (GOOD._replace(tally=Tally(wrong=("status 500",))), "status 500"),
        (GOOD._replace(still=Tally(wrong=("no end in 300 s",))), "no end"),
        (GOOD._replace(rest={**REST, "kv_cache_usage_perc": 0.25}), "kv_cache_usage_perc is 0.25"),
        (GOOD._replace(rest={**REST, "num_requests_running": 1}), "num_requests_running is 1"),
        (GOOD._replace(rest={}), "no num_requests_waiting"),
        (GOOD._replace(memory_mb=(200.0, 209.0)), "memory grew from 200.0 to 209.0"),
    ],
)
def test_whatever_is_left_over_is_complained_of(outcome: Outcome, complaint: str) -> None:
    """A wrong answer, something in use, a stuck slot, memory that grew; nothing of an engine that is as it was."""
    assert any(complaint in each for each in problems(outcome))
    assert problems(GOOD) == []
    assert "100 requests: 60 ended, 40 given up" in told(GOOD)


def choice(index: int, finish: str | None) -> dict[str, object]:
    """A choice of an answer."""
    return {"index": index, "delta": {"content": "a"}, "finish_reason": finish}


def streamed(*events: object, end: str = "data: [DONE]\n\n") -> str:
    """The text of a stream."""
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events) + end


def test_only_an_answer_whose_every_choice_finished_has_ended() -> None:
    """A stream without [DONE], an error in it, and a choice that does not say how it finished are wrong."""
    whole = [{"choices": [choice(0, "stop")]}, {"choices": [choice(1, "length")]}, {"choices": [], "usage": {}}]
    assert problem_of(streamed(*whole), streamed=True, choices=2) == ""
    assert "1 of 2" in problem_of(streamed(whole[0]), streamed=True, choices=2)
    assert "without its end" in problem_of(streamed(*whole, end=""), streamed=True, choices=2)
    assert "without its end" in problem_of("", streamed=True, choices=1)
    assert "boom" in problem_of(streamed({"error": {"message": "boom"}}), streamed=True, choices=1)
    assert problem_of(json.dumps({"choices": [choice(0, "stop")]}), streamed=False, choices=1) == ""
    assert "0 of 1" in problem_of(json.dumps({"choices": [choice(0, None)]}), streamed=False, choices=1)


def test_the_gauges_are_read_from_the_page() -> None:
    """Of all that is on it, what is in use."""
    page = '# TYPE x gauge\nvllm:num_requests_running{model_name="a b"} 2.0\nvllm:num_requests_swapped{} 1\n'
    assert gauges(page) == {"num_requests_running": 2.0}
    assert aside_tokens(page) == 0
    assert aside_tokens(page + 'forebay:prompt_tokens_aside_total{model_name="a b"} 640.0\n') == 640


def test_what_is_asked_is_varied_and_can_be_asked_again() -> None:
    """The same seed asks the same; some requests are given up, and some not."""
    many = [asked(draw, number) for draw in (random.Random(5),) for number in range(200)]
    draw = random.Random(5)
    assert many == [asked(draw, number) for number in range(200)]
    assert 40 < sum(patience is not None for _, patience in many) < 120
    assert {body["n"] for body, _ in many} == {1, 2}
    assert 2 < sum(len(body["messages"][0]["content"].split()) > 512 for body, _ in many) < 20
    assert {body["stream"] for body, _ in many} == {True, False}
