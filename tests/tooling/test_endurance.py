"""`scripts/bench endurance`: a short one on a real engine, and what it would complain of. Number 16 of the reference's
acceptance tests of the gate (gate.md §6.10) is an hour of it.
"""

import json
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from scripts.benchmarks.endurance import REST, SLOTS, TOLD, Outcome, document, problems, run, told
from scripts.benchmarks.endurance_load import TENANTS, Tally, asked, judged

SECONDS = 20.0
GOOD = Outcome(3600.0, Tally(fates=Counter({("batch", "local"): 7})), dict.fromkeys(REST, 0.0), SLOTS, [], (80.0, 82.0))


@pytest.mark.timeout(300)
def test_the_gate_ends_as_it_began(model_path: Path) -> None:
    """Callers of all kinds, an engine that is killed and stopped, a cloud that fails: each request ends once, nothing
    is left under way, every slot answers, and the ledger says what the callers were told.
    """
    shares: list[float] = []
    tally = Tally()
    outcome = run(model_path, SECONDS, 16, tally, shares.append)
    # Memory is still being taken for the first time in so short a run.
    assert problems(outcome._replace(memory_mb=(1.0, 1.0))) == []
    assert set(tally.troubles) == {"engine killed", "engine stopped", "cloud down"}
    assert all(sum(tally.fates[kind, fate] for fate in TOLD) for kind in TENANTS)
    assert tally.of("local")
    assert tally.of("given up")
    assert tally.total == len(tally.ids) == len(shares)


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        (GOOD._replace(tally=Tally(wrong=["soak-1-1: status 500"])), "status 500"),
        (GOOD._replace(books=["soak-1-1 is 2 times in the ledger"]), "2 times"),
        (GOOD._replace(rest={**GOOD.rest, "backlog": 12.0}), "backlog is 12"),
        (GOOD._replace(still=SLOTS - 1), "3 of 4 slots"),
        (GOOD._replace(memory_mb=(80.0, 89.0)), "memory grew from 80.0 to 89.0"),
    ],
)
def test_whatever_is_left_over_is_complained_of(outcome: Outcome, complaint: str) -> None:
    """A wrong end, a row too many, something under way, a stuck slot, memory that grew; nothing where all is well."""
    assert any(complaint in each for each in problems(outcome))
    assert complaint in str(document(outcome)["problems"])
    assert problems(GOOD) == []
    assert "| batch | 7 | 0 |" in told(GOOD)


def answer(
    status: int = 200, body: Mapping[str, object] | None = None, text: str = "", **headers: str
) -> httpx.Response:
    """A response; its words of Forebay are given without their prefix."""
    named = {"retry-after" if name == "retry_after" else f"x-forebay-{name}": value for name, value in headers.items()}
    return httpx.Response(status, headers=named, content=text or json.dumps(body or {}))


def stream(*events: Mapping[str, object], end: str = "data: [DONE]\n\n") -> httpx.Response:
    """A streamed answer of the box."""
    return answer(text="".join(f"data: {json.dumps(each)}\n\n" for each in events) + end, backend="local")


WHOLE = {"choices": [{"index": 0, "finish_reason": "stop", "delta": {}}]}
BROKEN: dict[str, object] = {"error": {"code": "upstream_interrupted"}}


def test_every_end_that_may_be_has_its_name() -> None:
    """Who answered; or that nobody did, or not to the end."""
    assert judged(stream(WHOLE), "batch", streamed=True)[1] == "local"
    assert judged(stream(BROKEN, end=""), "batch", streamed=True)[1] == "interrupted"
    assert judged(answer(body=WHOLE, backend="mini"), "batch", streamed=False)[1] == "mini"
    assert judged(answer(429, BROKEN, retry_after="2"), "batch", streamed=True)[1] == "refused"
    assert judged(answer(502, BROKEN), "batch", streamed=False)[1] == "failed"


@pytest.mark.parametrize(
    ("response", "streamed", "why"),
    [
        (answer(body=WHOLE, backend="mini"), False, "left the box"),
        (answer(500, BROKEN), False, "upstream_interrupted"),
        (answer(429, BROKEN, retry_after="0"), False, "when to come back"),
        (stream(WHOLE, end=""), True, "without its end"),
        (stream(BROKEN), True, "proper end"),
        (stream({"choices": []}), True, "finish reason"),
        (answer(body={"choices": [{"finish_reason": None}]}, backend="local"), False, "without its end"),
    ],
)
def test_no_other_end_is_let_pass(response: httpx.Response, why: str, *, streamed: bool) -> None:
    """What was to stay and left, an answer cut short, an error of our own, no word of when to come back."""
    with pytest.raises(AssertionError, match=why):
        judged(response, "local only", streamed=streamed)


def test_what_is_asked_is_varied_and_can_be_asked_again() -> None:
    """The same seed asks the same, of every kind; some are given up, and some not."""
    draws = [random.Random(5), random.Random(5)]
    many, again = ([asked(draw, str(number)) for number in range(200)] for draw in draws)
    assert many == again
    assert {each.kind for each in many} == set(TENANTS)
    assert 20 < sum(each.patience_s is not None for each in many) < 90
    assert {each.body["stream"] for each in many} == {True, False}
