"""Regard for those who are under way: they are not overtaken at any price, and not held up between two tokens."""

import pytest

from gateway.gate.engine import Ask, Choice, Elsewhere, EngineGate, Learnt, Ruling
from gateway.gate.others import gives_way, harm
from gateway.types import Priority

CLOUD = Elsewhere(1_000_000)
SURE = (1.0,) * 100
LEARNT = Learnt(rate=200.0, beside=1.0, first=SURE)


def gate(learnt: Learnt = LEARNT) -> EngineGate:
    """Of an engine whose forecasts have always come true, at second 100."""
    found = EngineGate(8, learnt)
    found.health.heard(0.0, ready=True)
    found.health.heard(100.0, ready=True)
    return found


def ask(prompt: int, now: float = 100.0, gap_s: float | None = None) -> Ask:
    """With an objective of two seconds."""
    return Ask(prompt=prompt, arrived_at=now, first_s=2.0, gap_s=gap_s)


def decide(one: EngineGate, asked: Ask, now: float = 100.0, *, ahead: int = 0, patience_s: float = 0.5) -> Choice:
    """For somebody whom a cloud may answer."""
    return one.decide(asked, CLOUD, patience_s, now, ahead)


def send(one: EngineGate, number: int, asked: Ask, now: float = 100.0) -> None:
    """It is let in."""
    choice = decide(one, asked, now)
    assert choice.outcome is Ruling.ADMIT
    one.send(number, asked, choice, now)


def test_who_would_make_a_longer_one_late_waits_and_goes_elsewhere_in_the_end() -> None:
    """350 tokens take 1.75 of two seconds: 60 that are read before them would break that promise, 20 would not."""
    one = gate()
    send(one, 0, ask(350))
    choice = decide(one, ask(60))
    assert (choice.outcome, choice.forecast.late < 0.01) == (Ruling.WAIT, True)
    assert choice.forecast.harm_nano > 0.9 * CLOUD.cost_nano
    assert decide(one, ask(60), patience_s=0.0).outcome is Ruling.SPILL
    assert decide(one, ask(20)).outcome is Ruling.ADMIT
    one.token(0, 101.7)
    assert decide(one, ask(60, 101.7), 101.7).outcome is Ruling.ADMIT


def test_where_nobody_is_overtaken_nobody_waits() -> None:
    """An engine that serves in order does the long one no harm."""
    one = gate(Learnt(rate=200.0, beside=1.0, overtaken=0.0, first=SURE))
    send(one, 0, ask(100))
    one.send(1, ask(250), decide(one, ask(250)), 100.0)
    delays = one.flight.reading.delays(10, Priority.NORMAL)
    assert delays
    assert harm(delays, 0, one.flight.reading, one.rates, 1.0, 100.0) == 0
    assert decide(one, ask(10)).outcome is Ruling.ADMIT


def test_what_has_been_let_in_before_it_is_foretold_of_the_long_one() -> None:
    """It is late by as much, and that says nothing of the engine's speed."""
    one = gate()
    send(one, 0, ask(250))
    send(one, 1, ask(50))
    one.token(1, 100.5)
    one.token(0, 101.5)
    assert one.rates.first.ratios[-1] == pytest.approx(1.0)
    assert one.rates.prompt_rate == pytest.approx(200.0)


def test_those_who_may_go_nowhere_else_count_like_the_one_who_comes() -> None:
    """Nothing is known of what others would take for them."""
    one = gate()
    asked = ask(350)
    one.send(0, asked, one.decide(asked, None, 0.5, 100.0), 100.0)
    delays = one.flight.reading.delays(60, Priority.NORMAL)
    lost = harm(delays, 0, one.flight.reading, one.rates, 1_000.0, 100.0)
    assert lost == pytest.approx(1_000.0, rel=0.05)


def test_a_long_prompt_lets_others_have_their_second_token() -> None:
    """It takes half a second, a stream was promised a tenth between its tokens: it waits for that, a short one not."""
    one = gate()
    send(one, 0, ask(40, gap_s=0.1))
    assert decide(one, ask(100)).outcome is Ruling.WAIT
    assert decide(one, ask(15)).outcome is Ruling.ADMIT
    one.token(0, 100.2)
    assert decide(one, ask(100, 100.2), 100.2).outcome is Ruling.WAIT
    one.token(0, 100.25)
    assert decide(one, ask(100, 100.25), 100.25).outcome is Ruling.ADMIT


def test_nobody_gives_way_until_it_is_too_late() -> None:
    """At the end of its patience it goes in; nor does it wait for what takes longer than that, or is over anyway."""
    one = gate()
    send(one, 0, ask(40, gap_s=0.1))
    assert decide(one, ask(100), patience_s=0.05).outcome is Ruling.ADMIT
    assert decide(one, ask(100), patience_s=0.15).outcome is Ruling.ADMIT
    one.token(0, 100.2)
    assert decide(one, ask(100, 100.2), 100.2, patience_s=0.15).outcome is Ruling.WAIT
    assert decide(one, ask(100, 100.2), 100.2, patience_s=0.05).outcome is Ruling.ADMIT
    assert decide(one, ask(100, 100.35), 100.35).outcome is Ruling.ADMIT


def test_who_is_behind_one_who_gives_way_waits_too() -> None:
    """There is room for it in a moment: it is not sent away from an engine with free slots."""
    one = gate()
    send(one, 0, ask(40, gap_s=0.1))
    assert decide(one, ask(10), ahead=1).outcome is Ruling.WAIT
    assert decide(one, ask(2_000), ahead=1).outcome is Ruling.SPILL


def test_nobody_gives_way_on_an_engine_that_holds_nobody_up() -> None:
    """Hundreds of answers in a row that kept the promise between tokens; one that did not brings the habit back."""
    one = gate()
    for number in range(600):
        now = 100.0 + number
        one.health.heard(now, ready=True)
        send(one, number, ask(10, now, gap_s=0.1), now)
        for place in range(3):
            one.token(number, now + 0.05 + 0.01 * place)
        one.end(number, now + 0.1)
    one.health.heard(800.0, ready=True)
    send(one, 1_000, ask(40, 800.0, gap_s=0.1), 800.0)
    assert not gives_way(100, one.flight, one.rates, 0.5, 800.0)
    one.token(1_000, 800.2)
    one.token(1_000, 800.6)
    one.end(1_000, 800.6)
    one.health.heard(830.0, ready=True)
    send(one, 1_001, ask(40, 830.0, gap_s=0.1), 830.0)
    assert gives_way(100, one.flight, one.rates, 0.5, 830.0)
