"""One engine's gate, from the first request to what it has learnt."""

import time

import pytest
from msgspec import structs

from gateway.gate.engine import Ask, Choice, Elsewhere, EngineGate, Learnt, Ruling
from gateway.gate.forecast import Forecast
from gateway.types import Priority

CLOUD = Elsewhere(1_000_000)
SLOTS = 8
_PAUSE_S = 31.0


def gate(slots: int = SLOTS, *, by_priority: bool = False) -> EngineGate:
    """Of an engine that has been up for long, at second 100."""
    found = EngineGate(slots, Learnt(rate=200.0), by_priority=by_priority)
    found.health.heard(0.0, ready=True)
    found.health.heard(100.0, ready=True)
    return found


def ask(prompt: int = 20, now: float = 100.0, first_s: float | None = 2.0) -> Ask:
    """A request that has just come: interactive where it was promised something, and otherwise batch work."""
    priority = Priority.BATCH if first_s is None else Priority.INTERACTIVE
    return Ask(prompt=prompt, arrived_at=now, first_s=first_s, gap_s=None, priority=priority)


def offer(
    one: EngineGate,
    number: int,
    asked: Ask,
    *,
    elsewhere: Elsewhere | None = CLOUD,
) -> Choice:
    """Offer it when it comes, and send it if it is admitted."""
    choice = one.decide(asked, elsewhere, 0.5, asked.arrived_at)
    if choice.outcome is Ruling.ADMIT:
        one.send(number, asked, choice, asked.arrived_at)
    return choice


def test_a_free_engine_admits_and_a_full_backlog_spills() -> None:
    """At 200 tokens per second 160 tokens are foretold within the objective; 1,000 before it are not."""
    one = gate()
    assert offer(one, 0, ask(160)).outcome is Ruling.ADMIT
    assert offer(one, 1, ask(500)).outcome is Ruling.SPILL
    assert one.flight.backlog == 160


def test_no_more_are_sent_than_there_are_slots() -> None:
    """The ninth waits or goes elsewhere, and with nobody else to answer it is refused when it may wait no longer."""
    one = gate()
    outcomes = [offer(one, number, ask(1)).outcome for number in range(SLOTS + 1)]
    assert outcomes[:SLOTS] == [Ruling.ADMIT] * SLOTS
    assert outcomes[SLOTS] in (Ruling.WAIT, Ruling.SPILL)
    assert one.decide(ask(1), None, 0.5, 100.0).outcome is Ruling.WAIT
    refused = one.decide(ask(1), None, 0.0, 100.0)
    assert refused.outcome is Ruling.REFUSE
    assert refused.retry_after_s > 0


def test_a_batch_leaves_room_for_who_was_here_lately() -> None:
    """Five of eight slots and 1.3 s of prompts while somebody interactive is about; everything when nobody is."""
    one = gate()
    offer(one, 0, ask(1))
    admitted = sum(offer(one, 1 + place, ask(1, first_s=None)).outcome is Ruling.ADMIT for place in range(SLOTS))
    assert admitted == 4
    assert offer(gate(), 0, ask(4_000, first_s=None)).outcome is Ruling.ADMIT
    one = gate()
    offer(one, 0, ask(1))
    assert offer(one, 1, ask(400, first_s=None)).outcome is not Ruling.ADMIT


def test_broken_promises_make_it_stricter_and_kept_ones_looser() -> None:
    """A first token after three seconds breaks the promise of two; a hundred kept ones are worth about one broken."""
    one = gate()
    offer(one, 0, ask(100))
    one.token(0, 103.0)
    one.end(0, 103.0)
    strict = one.strictness.late
    assert strict > 1.1
    one.health.heard(103.0, ready=True)
    offer(one, 1, ask(100, 103.0))
    one.token(1, 103.5)
    one.end(1, 103.5)
    assert one.strictness.late < strict


def test_a_lower_clock_is_believed_once() -> None:
    """The chip says it, and then the tokens, for minutes: prompts are read half as fast, and no slower or faster."""
    one = gate()
    offer(one, 0, ask(1))
    for step in range(300):
        one.token(0, 100.0 + 0.03 * step)
    rate = one.rates.prompt_rate
    one.see_speed(0.5)
    for step in range(4_000):
        one.token(0, 109.0 + 0.06 * step)
    assert one.rates.prompt_rate == pytest.approx(rate / 2, rel=0.02)


def test_strictness_decides() -> None:
    """What goes in at first is sent away by a gate that has broken too many promises."""
    one = gate()
    assert one.decide(ask(200), CLOUD, 0.5, 100.0).outcome is Ruling.ADMIT
    one.strictness.late = 3.0
    assert one.decide(ask(200), CLOUD, 0.5, 100.0).outcome is Ruling.SPILL


def test_gaps_longer_than_foretold_are_expected_again() -> None:
    """Streams whose tokens came half as fast as foretold make the same forecast a greater risk."""
    one = gate()
    asked = Ask(prompt=20, arrived_at=100.0, first_s=None, gap_s=0.1)
    seen = Forecast(first_s=0.1, gap_s=0.05, slot_s=0.0, delay=1.0, late=0.0)
    choice = Choice(outcome=Ruling.ADMIT, forecast=seen, here_nano=0.0, elsewhere_nano=None)
    before = one.rates.slow(0.06, 0.1)
    for number in range(30):
        one.send(number, asked, choice, 100.0 + number)
        for token in range(11):
            one.token(number, 100.0 + number + 0.1 * token)
        one.end(number, 101.0 + number)
    assert one.rates.slow(0.06, 0.1) > before + 0.3


def test_nothing_is_learnt_from_a_standstill() -> None:
    """Fifteen seconds without a step break promises, and say nothing about the speed afterwards."""
    one = gate()
    for number in range(3):
        offer(one, number, ask(20))
    one.token(0, 100.2)
    one.health.heard(102.0, ready=True)
    assert offer(one, 9, ask(20, 102.0)).outcome is Ruling.SPILL
    assert one.health.fenced
    rate, strict = one.rates.prompt_rate, one.strictness.late
    for number in range(3):
        one.token(number, 115.0)
        one.end(number, 116.0)
    assert (one.rates.prompt_rate, one.strictness.late) == (rate, strict)
    one.health.heard(116.0, ready=True)
    assert offer(one, 10, ask(20, 116.0)).outcome is Ruling.ADMIT


def test_nothing_is_learnt_from_a_standstill_of_our_own() -> None:
    """First tokens that lay unread for half a minute would have it believe that engines hang for that long."""
    one = gate()
    learnt = one.learnt
    assert offer(one, 0, ask(160)).outcome is Ruling.ADMIT
    one.excuse(35.0, 135.2)
    one.token(0, 135.5)
    one.end(0, 136.0)
    assert one.learnt == learnt


@pytest.mark.parametrize(("prompt", "after_s"), [(300, 5.0), (3_000, 30.0)])
def test_a_closed_gate_looks_whether_it_could_open(prompt: int, after_s: float) -> None:
    """What is foretold too late goes in once in a while, and shows that the engine is ten times as fast."""
    one = gate()
    offer(one, 0, ask(1))
    one.token(0, 100.0)
    one.end(0, 100.0)
    began = 100.0
    for sooner in (after_s, 0.1):
        one.health.heard(began + after_s - sooner, ready=True)
        assert offer(one, 1, ask(prompt, began + after_s - sooner)).outcome is Ruling.SPILL
    one.health.heard(began + after_s, ready=True)
    assert offer(one, 2, ask(prompt, began + after_s)).outcome is Ruling.ADMIT
    now = began + after_s
    for number in range(3, 60):
        one.token(number - 1, now + prompt / 2_000)
        one.end(number - 1, now + prompt / 2_000)
        now += _PAUSE_S
        one.health.heard(now, ready=True)
        one.decide(ask(prompt, now - 30.0), CLOUD, 0.5, now - 30.0)
        assert offer(one, number, ask(prompt, now)).outcome is Ruling.ADMIT
    assert one.rates.prompt_rate > 1_200


def test_the_ledger_is_empty_when_nothing_is_under_way() -> None:
    """A thousand requests later every counter is back at nothing."""
    one = gate(4)
    now = 100.0
    for number in range(1_000):
        now += 0.05
        one.health.heard(now, ready=True)
        if offer(one, number, ask(10, now)).outcome is Ruling.ADMIT:
            one.token(number, now + 0.01)
            one.end(number, now + 0.02)
    assert (len(one.flight), one.flight.backlog, one.flight.running) == (0, 0, 0)


def test_a_decision_takes_less_than_fifty_microseconds() -> None:
    """CPU time, on a full ledger of 64 slots and full error bands; ten times as much is a defect of any machine."""
    one = EngineGate(64, Learnt(rate=1e6))
    one.health.heard(0.0, ready=True)
    now, under_way = 100.0, list[int]()
    for number in range(400):
        now += 0.01
        one.health.heard(now, ready=True)
        if offer(one, number, ask(100, now)).outcome is Ruling.ADMIT:
            under_way.append(number)
            one.token(number, now)
        if len(under_way) > 60:
            one.end(under_way.pop(0), now)
    assert len(one.flight) == 60
    asked = ask(100, now)
    began = time.process_time()
    for _ in range(2_000):
        one.decide(asked, CLOUD, 0.5, now)
    assert (time.process_time() - began) / 2_000 < 10 * 50e-6


def test_a_restart_goes_on_where_the_last_life_ended() -> None:
    """Rate and errors: the same request gets the same forecast and the same chance."""
    before, now = gate(), 100.0
    for number in range(40):
        now += 2.0
        before.health.heard(now, ready=True)
        if offer(before, number, ask(100, now)).outcome is Ruling.ADMIT:
            before.token(number, now + 1.5)
            before.end(number, now + 1.5)
    after = EngineGate(SLOTS, before.learnt)
    after.health.heard(now - 50.0, ready=True)
    after.health.heard(now + 2.0, ready=True)
    before.health.heard(now + 2.0, ready=True)
    same = [each.decide(ask(150, now + 2.0), CLOUD, 0.5, now + 2.0).forecast for each in (before, after)]
    assert same[0] == same[1]
    assert before.strictness.late != after.strictness.late == 1.0


@pytest.mark.parametrize(("by_priority", "outcome"), [(True, Ruling.ADMIT), (False, Ruling.SPILL)])
def test_batch_work_keeps_nobody_out_where_it_lets_the_urgent_pass(*, by_priority: bool, outcome: Ruling) -> None:
    """Neither by its prompts, of four seconds, nor by being late itself."""
    one = gate(by_priority=by_priority)
    offer(one, 0, ask(800, first_s=None))
    one.health.heard(110.0, ready=True)
    one.health.progressed(110.0)
    assert offer(one, 1, ask(100, 110.0)).outcome is outcome


def test_nothing_is_learnt_of_the_rate_from_those_who_were_overtaken() -> None:
    """Their first token is late because somebody more urgent came, or was there; whoever came in time and was alone
    says how fast the engine is.
    """
    one = gate(by_priority=True)
    offer(one, 0, ask(200, first_s=None))
    offer(one, 1, ask(20))
    offer(one, 3, ask(20, first_s=None))
    rate = one.rates.prompt_rate
    for number in (0, 3):
        one.token(number, 130.0)
    assert one.rates.prompt_rate == rate
    one.end(1, 130.0)
    one.health.heard(130.0, ready=True)
    offer(one, 2, ask(200, 130.0, first_s=None))
    one.token(2, 133.0)
    assert one.rates.prompt_rate < rate


@pytest.mark.parametrize(("by_priority", "learns"), [(True, False), (False, True)])
def test_nothing_is_learnt_from_those_who_pause(*, by_priority: bool, learns: bool) -> None:
    """Batch work gets a token every two seconds beside an urgent answer of ten a second: it tells nothing of the next
    urgent one, neither how long its gap will be, nor how wrong that may be, nor that promises are broken, nor is it
    given way to.
    """
    one = gate(by_priority=by_priority)
    slow = structs.replace(ask(1, 102.0, first_s=1.0), gap_s=0.1, priority=Priority.BATCH)
    offer(one, 0, ask(1))
    now = 100.0
    for step in range(220):
        now = 100.0 + 0.1 * step
        if step == 20:
            one.health.heard(now, ready=True)
            for number in (1, 2):
                assert offer(one, number, slow, elsewhere=None).outcome is Ruling.ADMIT
        one.token(0, now)
        if step > 20 and step % 20 == 0:
            one.token(1, now)
            one.token(2, now)
    one.health.heard(now, ready=True)
    foretold = one.decide(ask(1, now), CLOUD, 0.5, now).forecast.gap_s
    assert (foretold > 0.2) is learns
    before, strict = one.learnt, one.strictness.slow
    for number in (1, 2):
        one.end(number, now)
    assert ((one.learnt.gap, one.learnt.near) != (before.gap, before.near)) is learns
    assert (one.strictness.slow > strict) is learns
    assert one.flight.running == 1
    one.end(0, now)
    assert (len(one.flight), one.flight.running) == (0, 0)


@pytest.mark.parametrize(("by_priority", "outcome"), [(True, Ruling.ADMIT), (False, Ruling.WAIT)])
def test_who_pauses_anyway_is_not_given_way_to(*, by_priority: bool, outcome: Ruling) -> None:
    """Batch work that was promised its second token soon, at an engine that holds streams up."""
    one = gate(by_priority=by_priority)
    offer(one, 0, structs.replace(ask(1, first_s=None), gap_s=0.1), elsewhere=None)
    one.token(0, 100.0)
    assert one.decide(ask(100, 100.01), CLOUD, 0.5, 100.01).outcome is outcome
