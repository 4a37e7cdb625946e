"""The first pieces of a light stream are held back, scored, and committed or thrown away."""

import json
import time
from typing import Any

from tests.e2e.configs import LIGHT, TO_LIGHT, TO_MID
from tests.e2e.events import Events
from tests.e2e.fixed_requests import DOWN, SCHEMA
from tests.e2e.stack import Stack
from tests.e2e.wire import Wire, unchunked
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

SECRET_WORD = "zebra"
DOUBT = " ".join(f"{SECRET_WORD}{number}" for number in range(60))
GOOD = " ".join(f"word{number}" for number in range(60))
DONE = b"data: [DONE]"


def asked(**more: Any) -> dict[str, Any]:
    """A streamed question."""
    return {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}], "stream": True, **more}


def told(raw: bytes) -> dict[str, Any]:
    """The `forebay` object of a stream that was read to its end."""
    found = Events(unchunked(raw)).forebay
    assert found is not None
    return found


def test_no_byte_of_a_doubtful_light_answer_is_seen(tiers: Stack, faults: FaultServer) -> None:
    """Not even a status line leaves before the stronger answer is there, and the light upstream is hung up."""
    faults.next(LIGHT, Says(text=DOUBT, logprob=-6.0, hold="light goes on", hold_after=30))
    faults.next("mid", Says(text=GOOD, hold="mid", hold_after=-1))
    with Wire(tiers.url) as wire:
        wire.post(asked(), TO_LIGHT)
        faults.wait("held", least=1, model="mid")
        assert wire.silent()
        faults.release("mid")
        raw = wire.until(DONE + b"\n\n")
    assert SECRET_WORD.encode() not in raw
    assert b"word59" in raw
    assert b"x-forebay-reason: low_confidence" in raw
    assert [tried["status"] for tried in told(raw)["tried"]] == ["superseded", "answered"]
    light = faults.settled(LIGHT)[0]
    assert light.end == "client_left"


def test_a_good_start_is_committed_when_the_window_is_full(tiers: Stack, faults: FaultServer) -> None:
    """After 24 tokens the pieces leave, long before the answer has ended."""
    faults.next(LIGHT, Says(text=GOOD, hold="rest", hold_after=24))
    with Wire(tiers.url) as wire:
        wire.post(asked(), TO_LIGHT)
        head = wire.until(b"word23")
        faults.wait("held", least=1)
        faults.release("rest")
        raw = wire.until(DONE + b"\n\n")
    assert b"x-forebay-backend: local" in head
    assert b"word24" not in head
    assert told(head + raw)["attempts"] == 1


def test_less_than_the_window_is_not_sent(tiers: Stack, faults: FaultServer) -> None:
    """With 3 tokens of a good answer there, the caller has none of them until time is up, 2 s after the first."""
    faults.next(LIGHT, Says(text=GOOD, hold="rest", hold_after=3))
    with Wire(tiers.url) as wire:
        began = time.monotonic()
        wire.post(asked(), TO_LIGHT)
        faults.wait("held", least=1)
        assert wire.silent()
        wire.until(b"word2")
        assert 1.8 < time.monotonic() - began < 20
        faults.release("rest")
        assert b"word59" in wire.until(DONE)


def test_a_slow_doubtful_start_escalates_when_time_is_up(tiers: Stack, faults: FaultServer) -> None:
    """Three tokens that nobody would trust are enough to go on with."""
    faults.next(LIGHT, Says(text=DOUBT, logprob=-6.0, hold="rest", hold_after=3))
    read = tiers.events(headers=TO_LIGHT)
    assert read.forebay is not None
    assert (read.forebay["backend"], read.forebay["reason"]) == ("mini", "low_confidence")
    assert SECRET_WORD not in read.text


def test_json_is_held_whole(tiers: Stack, faults: FaultServer) -> None:
    """However long it takes, nothing leaves before the last bracket has been looked at."""
    text = json.dumps({"city": "A very long name of a city, longer than any window of probation is likely to be " * 3})
    faults.next(LIGHT, Says(text=text, hold="rest", hold_after=40))
    with Wire(tiers.url) as wire:
        wire.post(asked(response_format=SCHEMA), TO_LIGHT)
        faults.wait("held", least=1)
        assert wire.silent()
        faults.release("rest")
        raw = wire.until(DONE + b"\n\n")
    assert b"x-forebay-backend: local" in raw


def test_what_shows_later_is_told_and_not_undone(tiers: Stack, faults: FaultServer) -> None:
    """An answer that is cut at its end stays the answer; its finish reason says so, and nobody else is asked."""
    faults.next(LIGHT, Says(text=GOOD, finish_reason="length"))
    read = tiers.events(headers=TO_LIGHT)
    assert (read.text, read.finish_reason) == (GOOD, "length")
    assert read.forebay is not None
    assert (read.forebay["backend"], read.forebay["escalated"]) == ("local", False)
    assert tiers.books.attempts(read.forebay["request_id"])[0]["verdict"] == "truncated"
    assert faults.calls("mid", "premium") == ()


def test_stronger_tiers_are_not_held(tiers: Stack, faults: FaultServer) -> None:
    """The first token of a mid answer leaves at once: there is no window for it."""
    faults.next("mid", Says(text=GOOD, hold="rest", hold_after=1))
    with Wire(tiers.url) as wire:
        wire.post(asked(), TO_MID)
        wire.until(b"word0")
        faults.wait("held", least=1)
        faults.release("rest")
        assert b"word59" in wire.until(DONE)


def test_who_cannot_escalate_is_not_made_to_wait(tiers: Stack, faults: FaultServer) -> None:
    """With escalation forbidden the first light token leaves at once."""
    faults.next(LIGHT, Says(text=GOOD, hold="rest", hold_after=1))
    with Wire(tiers.url) as wire:
        wire.post(asked(), {**TO_LIGHT, "x-forebay-no-escalation": "true"})
        wire.until(b"word0")
        faults.wait("held", least=1)
        faults.release("rest")
        wire.until(DONE)
        assert len(faults.settled()) == 1


def test_a_held_answer_goes_on_when_nobody_stronger_answers(breaking: Stack, faults: FaultServer) -> None:
    """The light stream waits meanwhile, and then comes whole, without a gap and without a second beginning."""
    faults.next(LIGHT, Says(text=DOUBT, logprob=-6.0, hold="rest", hold_after=30))
    faults.next("mid", DOWN)
    faults.next("premium", Says(hold="premium", hold_after=-1, ends="reset", after=-1))
    with Wire(breaking.url) as wire:
        wire.post(asked(), {**TO_LIGHT, "connection": "close"})
        faults.wait("held", least=1, model="premium")
        assert wire.silent()
        faults.release("premium")
        faults.release("rest")
        raw = wire.rest()
    read = Events(unchunked(raw))
    assert read.text == DOUBT
    assert read.done
    assert read.forebay is not None
    assert read.forebay["backend"] == "local"
    assert [tried["status"] for tried in read.forebay["tried"]] == ["answered", "failed", "failed"]
