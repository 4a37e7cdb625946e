"""An answer that is not good enough, and what becomes of it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import LIGHT, SECRETS, TO_LIGHT, TO_MID, Config, hash_of, three_tiers
from tests.e2e.fixed_requests import DOUBTFUL, DOWN, SCHEMA, TOOL
from tests.e2e.stack import Stack, running
from tests.faults.behaviours import Behaviour, Says, Tool
from tests.faults.handle import FaultServer

JSON: dict[str, Any] = {"response_format": SCHEMA}
PARIS = Says(text='{"city": "Paris"}')
REFUSES = Says(text="I'm sorry, but I can't help with that.")
TRUNCATED = Says(text="It goes on and", finish_reason="length")


@dataclass(frozen=True, slots=True)
class Defect:
    """An answer of the light model, what is wrong with it, and what a good one looks like."""

    says: Says
    reason: str
    asked: dict[str, Any] = field(default_factory=dict)
    good: Says = field(default_factory=Says)


DEFECTS = {
    "bad-json": Defect(Says(text='{"city": "Par'), "invalid_structure", JSON, PARIS),
    "breaks-schema": Defect(Says(text='{"town": "Paris"}'), "invalid_structure", JSON, PARIS),
    "json-object": Defect(Says(text="[1]"), "invalid_structure", {"response_format": {"type": "json_object"}}, PARIS),
    "truncated": Defect(TRUNCATED, "truncated"),
    "refusal": Defect(REFUSES, "refusal"),
    "refusal-field": Defect(Says(text=None, refusal="No."), "refusal"),
    "low-confidence": Defect(DOUBTFUL, "low_confidence"),
    "empty": Defect(Says(text=""), "low_confidence"),
    "goes-round": Defect(Says(text="and so on " * 5), "low_confidence"),
    "trigger-word": Defect(Says(text="Arr, as a Pirate I know."), "low_confidence"),
    "filtered": Defect(Says(finish_reason="content_filter"), "content_filter"),
}


def ask(stack: Stack, request_id: str, *, stream: bool, headers: dict[str, str] | None = None, **more: Any) -> Told:
    """An easy question, whole or streamed."""
    sent = {"x-request-id": request_id, **(TO_LIGHT if headers is None else headers)}
    if stream:
        return Told.streamed(stack.events(headers=sent, **more))
    return Told.whole(stack.chat(headers=sent, **more))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_sends_the_request_to_the_next_tier(
    tiers: Stack, faults: FaultServer, name: str, *, stream: bool
) -> None:
    """The stronger answer goes out with the defect as its reason; the ledger has both attempts and both costs."""
    defect = DEFECTS[name]
    faults.next(LIGHT, defect.says)
    faults.next("mid", defect.good)
    request_id = f"escalates-{name}-{stream}"
    told = ask(tiers, request_id, stream=stream, **defect.asked)
    agree(told, tiers.books, request_id, faults.settled())
    assert told.forebay is not None
    assert (told.forebay["backend"], told.forebay["reason"]) == ("mini", defect.reason)
    assert told.headers["x-forebay-reason"] == defect.reason
    assert told.headers["x-forebay-attempts"] == "2"
    assert told.forebay["escalated"] is True
    light, mid = tiers.books.attempts(request_id)
    assert (light["status"], mid["status"]) == ("superseded", "answered")
    assert light["verdict"] == (None if defect.reason == "low_confidence" else defect.reason)
    assert (light["confidence"] < 0.5) == (name not in ("truncated", "filtered"))
    assert light["cost_nano_usd"] > 0
    assert mid["cost_nano_usd"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_escalation_returns_the_light_answer_and_says_so(
    breaking: Stack, faults: FaultServer, *, stream: bool
) -> None:
    """With every stronger tier down the caller gets what there is, and reads that it was meant to be better."""
    faults.next(LIGHT, DOUBTFUL)
    faults.next("mid", DOWN)
    faults.next("premium", DOWN)
    request_id = f"escalation-fails-{stream}"
    told = ask(breaking, request_id, stream=stream)
    agree(told, breaking.books, request_id, faults.settled())
    assert told.status == 200
    assert told.forebay is not None
    assert told.forebay["backend"] == "local"
    assert told.forebay["escalated"] is True
    assert [(tried["backend"], tried["status"], tried["error"]) for tried in told.forebay["tried"]] == [
        ("local", "answered", None),
        ("mini", "failed", "upstream_error"),
        ("big", "failed", "upstream_error"),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_may_forbid_escalation(tiers: Stack, faults: FaultServer, *, stream: bool) -> None:
    """x-forebay-no-escalation: the light answer goes out, and `gave_up` says why it stayed at that."""
    faults.next(LIGHT, DOUBTFUL)
    request_id = f"not-allowed-{stream}"
    told = ask(tiers, request_id, stream=stream, headers={**TO_LIGHT, "x-forebay-no-escalation": "true"})
    agree(told, tiers.books, request_id, faults.settled())
    assert told.forebay is not None
    assert (told.forebay["backend"], told.forebay["gave_up"], told.forebay["escalated"]) == (
        "local",
        "not_allowed",
        False,
    )
    assert faults.calls("mid", "premium") == ()


def test_a_pinned_model_is_not_escalated(tiers: Stack, faults: FaultServer) -> None:
    """Who asks for one backend gets its answer, good or not, with the reason why nobody else was asked."""
    faults.next(LIGHT, DOUBTFUL)
    told = Told.whole(tiers.chat("local"))
    assert told.forebay is not None
    assert (told.forebay["backend"], told.forebay["gave_up"]) == ("local", "no_stronger_tier")
    assert faults.calls("mid", "premium") == ()


def test_the_callers_own_limit_is_no_defect(tiers: Stack, faults: FaultServer) -> None:
    """An answer that stops where `max_tokens` says is what was asked for."""
    faults.next(LIGHT, TRUNCATED)
    told = Told.whole(tiers.chat(headers=TO_LIGHT, max_tokens=4))
    assert told.forebay is not None
    assert (told.forebay["backend"], told.forebay["escalated"]) == ("local", False)


def test_a_bad_tool_call_escalates(tiers: Stack, faults: FaultServer) -> None:
    """Arguments that break the tool's schema, and tools that do not exist, are defects like bad JSON."""
    for bad in (Tool("look_up", '{"q": 3}'), Tool("look_down", "{}"), Tool("look_up", '{"q"')):
        faults.next("mid", Says(tools=(bad,)))
        faults.next("premium", Says(tools=(Tool("look_up", '{"q": "paris"}'),)))
        told = Told.whole(tiers.chat(headers=TO_MID, tools=[TOOL]))
        assert told.forebay is not None
        assert (told.forebay["backend"], told.forebay["reason"]) == ("big", "invalid_structure")


def test_the_strongest_valid_answer_wins(tiers: Stack, faults: FaultServer) -> None:
    """Of a bad light answer, a valid but cut mid one, and a premium one that is no JSON, the valid one goes out."""
    faults.next(LIGHT, Says(text="no json"))
    faults.next("mid", Says(text='{"city": "Paris"}', finish_reason="length"))
    faults.next("premium", Says(text="no json either"))
    body = tiers.chat(headers=TO_LIGHT, response_format=SCHEMA).json()
    assert [tried["backend"] for tried in body["forebay"]["tried"]] == ["local", "mini", "big"]
    assert body["forebay"]["backend"] == "mini"
    assert body["choices"][0]["message"]["content"] == '{"city": "Paris"}'


def test_of_two_bad_answers_the_stronger_tiers_wins(breaking: Stack, faults: FaultServer) -> None:
    """Scores of different models are not compared: what mid says stands, whatever its own score."""
    faults.next(LIGHT, DOUBTFUL)
    faults.next("mid", REFUSES)
    faults.next("premium", DOWN)
    body = breaking.chat(headers=TO_LIGHT).json()
    assert body["forebay"]["backend"] == "mini"
    assert body["choices"][0]["message"]["content"] == REFUSES.text


def limited(faults: FaultServer, **escalation: Any) -> Config:
    """Three tiers with other limits on escalation."""
    limits = {"throttle_rate": 1.0, **escalation}
    return three_tiers(faults, policy={"default_regions": "any", "escalation": limits})


def test_no_more_attempts_than_allowed(faults: FaultServer) -> None:
    """max_attempts counts every physical call: of two, the second is the last whatever it brings."""
    with running(limited(faults, max_attempts=2), SECRETS) as stack:
        stack.ready("light")
        slowly = Says(text=REFUSES.text, pause_s=0.02)
        ends: tuple[tuple[Behaviour, str, str | None], ...] = (
            (DOWN, "local", None),
            (REFUSES, "mini", "attempts"),
            (slowly, "mini", "attempts"),
        )
        for number, (mid, winner, gave_up) in enumerate(ends):
            for stream in (False, True):
                faults.next(LIGHT, DOUBTFUL)
                faults.next("mid", mid)
                told = ask(stack, f"two-{number}-{stream}", stream=stream)
                assert told.forebay is not None
                assert (told.forebay["backend"], told.forebay["gave_up"]) == (winner, gave_up)
                assert told.forebay["attempts"] == 2
        assert faults.settled("premium") == ()


def test_no_more_money_than_allowed(faults: FaultServer) -> None:
    """max_cost_usd: no further attempt that would be expected to pass it; the light answer goes out and says why."""
    with running(limited(faults, max_cost_usd=0.000_02), SECRETS) as stack:
        stack.ready("light")
        for stream in (False, True):
            faults.next(LIGHT, DOUBTFUL)
            told = ask(stack, f"cost-{stream}", stream=stream)
            assert told.forebay is not None
            assert (told.forebay["backend"], told.forebay["gave_up"]) == ("local", "cost")
            assert told.forebay["cost_usd"] <= 0.000_02
        assert faults.settled("mid", "premium") == ()


def test_the_path_can_lead_straight_to_the_top(faults: FaultServer) -> None:
    """path: premium skips the middle tier."""
    with running(limited(faults, path="premium"), SECRETS) as stack:
        stack.ready("light")
        faults.next(LIGHT, DOUBTFUL)
        assert stack.chat(headers=TO_LIGHT).headers["x-forebay-backend"] == "big"
        assert faults.settled("mid") == ()


def test_by_expected_cost_a_dear_middle_is_left_out(faults: FaultServer) -> None:
    """path: expected_cost goes where the way is expected to cost less, the middle tier's own failures included."""
    config = limited(faults)
    config["backends"]["mini"]["price"] = {"input": 2.9, "output": 14.9}
    with running(config, SECRETS) as stack:
        stack.ready("light")
        faults.next(LIGHT, DOUBTFUL)
        assert stack.chat(headers=TO_LIGHT).headers["x-forebay-backend"] == "big"


def test_an_escalation_rate_out_of_hand_is_braked(faults: FaultServer) -> None:
    """Above throttle_rate only classes with escalation priority escalate; the others read `throttled`."""
    config = three_tiers(
        faults,
        policy={"default_regions": "any", "escalation": {"throttle_rate": 0.5, "throttle_after": 4}},
        auth={"mode": "keys"},
        classes={"pro": {}, "vip": {"escalation_priority": True}},
        tenants={
            name: {"class": name, "keys": [{"name": "k", "hash": hash_of(f"key-of-{name}")}]} for name in ("pro", "vip")
        },
    )
    with running(config, SECRETS) as stack:
        stack.ready("light")
        faults.always(LIGHT, DOUBTFUL)
        said = [
            stack.chat(headers={**TO_LIGHT, "authorization": f"Bearer key-of-{who}"}).json()["forebay"]
            for who in ("pro", "pro", "pro", "pro", "pro", "vip")
        ]
        assert [one["backend"] for one in said] == ["mini", "mini", "mini", "mini", "local", "mini"]
        assert said[4]["gave_up"] == "throttled"
        assert stack.metric("forebay_escalations_total") == 5
        assert stack.metric("forebay_escalation_rate") == pytest.approx(5 / 6)
