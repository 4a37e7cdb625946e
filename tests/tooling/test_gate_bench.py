"""`scripts/bench gate`: its traffic, the simulated engine and the fit, the arithmetic, and what it prints."""

import json
import math
from pathlib import Path

import pytest

from gateway.types import Priority
from scripts.benchmarks.gate_baselines import Gradient2, NoGate, ScrapeThreshold, StaticCap, TwoFlags
from scripts.benchmarks.gate_clairvoyant import Clairvoyant
from scripts.benchmarks.gate_engine import Law, SimulatedEngine, Token
from scripts.benchmarks.gate_figures import difference, figures
from scripts.benchmarks.gate_fit import error, fit, replay
from scripts.benchmarks.gate_measure import OURS, Ground, Plan, best, careful, measure, policies, simulated
from scripts.benchmarks.gate_record import Recorded, parts, read, record, write
from scripts.benchmarks.gate_scenarios import SCENARIOS, capacity
from scripts.benchmarks.gate_simulation import Simulation
from scripts.benchmarks.gate_table import table
from scripts.benchmarks.gate_traffic import FRESH, HELD_OUT, SEEN, TUNING, Arrival, paced, stretch
from scripts.benchmarks.gate_world import (
    GAP_S,
    Gauges,
    Load,
    Machine,
    Request,
    Served,
    Speed,
    Verdict,
)

LAW = Law(step=0.02, sequence=0.003, context=1e-6, call=0.02, prompt=0.004, way=0.01)
MACHINE = Machine(LAW, slots=8, context=1024)


def request(number: int, prompt: int = 100) -> Request:
    """An interactive one at second 0."""
    return Request(number, 0.0, prompt, 10, Priority.INTERACTIVE)


def served(first: float, last: float, *, answer: int = 11, local: bool = True, at: float = 0.0) -> Served:
    """What became of 100 prompt tokens that came at `at`."""
    arrival = Arrival(at, "conv", 100, answer)
    return Served(arrival, Priority.INTERACTIVE, 2.0, at if local else None, first, last if local else None, 0.5)


def test_stretches_are_those_of_the_trace_scaled() -> None:
    """Twenty-eight of 400 requests; the first prompt of 1,093 tokens is one of 69; tuning and reporting share none."""
    assert sorted((*TUNING, *HELD_OUT, *SEEN, *FRESH)) == list(range(37))
    for number in (*TUNING, *HELD_OUT, *SEEN, *FRESH):
        found = stretch(number)
        assert len(found) == 400
        assert found == sorted(found, key=lambda each: each.at)
    assert stretch(0)[0] == Arrival(0.0, "conv", 69, 104)


def test_pacing_keeps_the_pattern_and_sets_the_rate() -> None:
    """Gaps stay in proportion; 400 requests at 2 per second take 200 s."""
    before = stretch(3)
    after = paced(before, 2.0)
    assert after[0].at == 0
    assert after[-1].at == pytest.approx(200)
    assert after[10].at / after[20].at == pytest.approx(before[10].at / before[20].at)


def test_a_step_takes_what_the_law_says() -> None:
    """A prompt of 100 tokens alone in one step, then a token per step."""
    (only,) = Simulation(MACHINE, Load([Arrival(0.0, "conv", 100, 3)]), NoGate(), 0).run()
    assert only.first == pytest.approx(0.02 + 0.4 + LAW.way)
    assert only.last == pytest.approx(only.first + 2 * 0.023, rel=0.01)


def test_a_step_ends_for_a_second_token_as_the_engine_has_it() -> None:
    """Of two prompts in one step the short one has two tokens before anything of the long one is read."""
    engine = SimulatedEngine(8, 8192, LAW)
    engine.ask(1, 400, 1)
    engine.ask(2, 40, 3)
    for seconds, token in (
        (LAW.reading(40), Token(2, first=True, last=False)),
        (LAW.running(1, 40), Token(2, first=False, last=False)),
    ):
        assert engine.begin() == pytest.approx(seconds)
        assert engine.end(seconds) == [token]


def test_a_slower_engine_takes_longer_and_a_stopped_one_waits() -> None:
    """At half speed a step takes twice as long; from 0.1 s on it stands still for ten seconds in between."""
    arrivals = [Arrival(0.0, "conv", 100, 1)]
    for speeds, first in (
        ((Speed(0.0, 0.5),), 0.84),
        ((Speed(0.0, 1.0), Speed(0.1, 0.0), Speed(10.1, 1.0)), 10.42),
    ):
        (only,) = Simulation(MACHINE, Load(arrivals, speeds), NoGate(), 0).run()
        assert only.first == pytest.approx(first + LAW.way)


def test_a_law_is_found_again_in_what_it_made() -> None:
    """From a recording made by a known law, and it foretells requests that it was not fitted to."""
    rows = [Recorded(each.at, each.prompt, each.answer, 0.0, 0.0) for each in paced(stretch(1)[:60], 1.0)]
    true = Law(step=0.006, sequence=0.003, context=4e-6, call=0.004, prompt=0.002, way=0.01)
    found = fit(replay(rows, true))
    assert found.prompt == pytest.approx(true.prompt, rel=0.1)
    others = [Recorded(each.at, each.prompt, each.answer, 0.0, 0.0) for each in paced(stretch(5)[:60], 0.8)]
    off = error(replay(others, true), found)
    assert off.first_error < 0.1
    assert off.whole_error < 0.15
    assert error(replay(others, true), true).first_error == pytest.approx(0)


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And it falls apart at its longest pause, each part with times of its own."""
    rows = [Recorded(0.0, 20, 1, 0.25, 0.25), Recorded(1.0, 30, 2, 1.5, 1.75), Recorded(20.0, 10, 1, 21.0, 21.0)]
    write(tmp_path / "r.csv", Path("m.gguf"), rows)
    assert read(tmp_path / "r.csv") == rows
    calm, busy = parts(rows)
    assert (len(calm), len(busy)) == (2, 1)
    assert busy == [Recorded(0.0, 10, 1, 1.0, 1.0)]


def test_the_engine_is_recorded_over_http(model_path: Path) -> None:
    """Three requests of the real engine, each when it is due, with the lengths that they really had."""
    arrivals = [Arrival(0.0, "conv", 20, 3), Arrival(0.1, "conv", 10, 2), Arrival(0.2, "conv", 30, 1)]
    told: list[float] = []
    rows = record(model_path, arrivals, told.append)
    assert [row.answer for row in rows] == [3, 2, 1]
    assert [row.prompt for row in rows] == [pytest.approx(wanted, abs=3) for wanted in (20, 10, 30)]
    assert [row.sent for row in rows] == sorted(row.sent for row in rows)
    assert all(each.at - 0.01 < row.sent < row.first <= row.last for each, row in zip(arrivals, rows, strict=True))
    assert told


def test_the_recording_in_the_repository_is_of_a_real_engine() -> None:
    """Two parts of it, both long enough to fit and to judge."""
    calm, busy = parts(read())
    assert min(len(calm), len(busy)) >= 30


def test_caps_and_flags_count_what_is_under_way() -> None:
    """A request more than the cap, or more prompt tokens than the flag, go elsewhere, until others are done."""
    cap = StaticCap(2)
    assert [cap.offer(request(number), 0.0) for number in range(3)] == [Verdict.ADMIT, Verdict.ADMIT, Verdict.SPILL]
    cap.token(0, 1.0)
    cap.ended(0, 2.0)
    assert cap.offer(request(3), 2.0) is Verdict.ADMIT
    flags = TwoFlags(8, 250)
    assert [flags.offer(request(number), 0.0) for number in range(3)] == [Verdict.ADMIT, Verdict.ADMIT, Verdict.SPILL]
    flags.token(0, 1.0)
    assert flags.offer(request(3), 1.0) is Verdict.ADMIT


def test_the_scrape_threshold_knows_only_what_was_scraped() -> None:
    """Five waiting or eight tenths of the room, at the last scrape."""
    one = ScrapeThreshold()
    assert all(one.offer(request(number), 0.0) is Verdict.ADMIT for number in range(50))
    for gauges in (Gauges(5, 0.0), Gauges(0, 0.8)):
        one.scraped(gauges, 1.0)
        assert one.offer(request(60), 1.0) is Verdict.SPILL
    one.scraped(Gauges(4, 0.79), 2.0)
    assert one.offer(request(61), 2.0) is Verdict.ADMIT


def test_gradient2_closes_when_first_tokens_take_longer() -> None:
    """From twenty at a time towards the eight at which half of the limit and its queue balance."""
    one, now, admitted = Gradient2(20.0), 0.0, 0
    for turn in range(5):
        numbers = [100 * turn + place for place in range(80)]
        inside = [number for number in numbers if one.offer(request(number), now) is Verdict.ADMIT]
        admitted = len(inside)
        now += 0.1 if turn < 2 else 5.0
        for number in inside:
            one.token(number, now)
        for number in inside:
            one.ended(number, now)
    assert 8 <= admitted <= 12


def test_who_knows_everything_breaks_no_promise_and_sees_what_comes() -> None:
    """On an engine that loses most of its speed for a while, and of three that come at once to one that is idle. Nobody
    comes after the last, who has the first token just when it was foretold.
    """
    hog = SCENARIOS["hog"].load(stretch(TUNING[0])[:120], capacity(MACHINE, TUNING[:1]))
    for load, least, most in ((hog, 40, 119), (Load([Arrival(0.0, "conv", 20, 3)] * 3), 3, 3)):
        found = Simulation(MACHINE, load, Clairvoyant(MACHINE, load), 0).run()
        kept = [each for each in found if each.local]
        assert least <= len(kept) <= most
        assert not any(each.missed for each in kept)
        assert kept[-1].first_s == pytest.approx(kept[-1].foretold)


def test_the_most_careful_setting_is_one_that_keeps_as_many_tokens() -> None:
    """Within two points of ours; one that keeps fewer breaks fewer promises, and does not count."""
    figures = {
        OURS: {"kept_tokens": 60.0, "missed": 0.5},
        "static 3": {"kept_tokens": 57.9, "missed": 1.0},
        "static 4": {"kept_tokens": 58.1, "missed": 6.0},
        "two flags 8, 0.5": {"kept_tokens": 70.0, "missed": 5.0},
    }
    assert careful({"policies": figures}, ("static", "two flags")) == "two flags 8, 0.5"
    assert careful({"policies": figures}, ("static",)) == "static 4"
    assert careful({"policies": figures}, ("gradient",)) is None


def test_figures_are_shares_of_what_was_offered_and_misses_of_what_was_kept() -> None:
    """One good, one with a late first token, one with slow tokens, one in the cloud."""
    found = figures(
        [
            served(1.0, 2.0),
            served(2.5, 3.0),
            served(1.0, 1.0 + 10.5 * GAP_S),
            served(0.5, 0.0, local=False, answer=300),
        ],
        [Speed(0.0, 1.0)],
    )
    assert found.goodput == 25
    assert found.token_goodput == pytest.approx(100 * 111 / (3 * 111 + 400))
    assert found.missed == found.missed_settled == pytest.approx(200 / 3)
    assert found.spilled == 25
    assert found.bill_dollars == pytest.approx((100 * 0.25 + 300 * 2.0) / 1e6)
    assert found.first_p99_s == 2.5


def test_what_could_not_be_foreseen_is_told_apart() -> None:
    """Sent a second before the engine lost half of its speed, or a second after: not counted as settled."""
    runs = [served(at + 3.0, at + 3.1, at=at) for at in (9.0, 11.0, 13.0)] + [served(21.0, 21.5, at=20.5)]
    found = figures(runs, [Speed(0.0, 1.0), Speed(10.0, 0.5), Speed(30.0, 1.0)])
    assert (found.missed, found.missed_settled) == (75, 50)


def test_differences_are_paired() -> None:
    """Three pairs that differ by 1, 2 and 3: two on average, and Student's interval."""
    found = difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert found.mean == pytest.approx(2)
    assert found.half == pytest.approx(4.303 / math.sqrt(3), rel=0.001)
    assert difference([1.0], [0.0]).half == math.inf


def test_everything_is_measured_and_printed_with_the_error_of_the_fit() -> None:
    """One scenario, one stretch: every policy, the best of each sweep, and how far off the simulation is."""
    rows = [Recorded(each.at, each.prompt, each.answer, 0.0, 0.0) for each in paced(stretch(1)[:20], 0.5)]
    basis = Ground(MACHINE, error(replay(rows, LAW), LAW._replace(prompt=0.005)), capacity(MACHINE, TUNING[:1]))
    told: list[None] = []
    makers = policies(MACHINE)
    plan = Plan({"hog": SCENARIOS["hog"]}, HELD_OUT[:1], makers, simulated(basis))
    found = measure(basis, plan, lambda: told.append(None))
    assert len(told) == len(makers)
    printed = table(json.loads(json.dumps(found)))
    assert "The simulated engine beside a recording" in printed
    assert SCENARIOS["hog"].about in printed
    shown = [line.split("  ")[0] for line in printed.splitlines()]
    for name in ("no gate", "scrape threshold", "gradient2", OURS, best(found["cells"][0], "two flags")):
        assert name in shown
    cell = found["cells"][0]
    flags = [each for name, each in cell["policies"].items() if name.startswith("two flags")]
    assert cell["policies"][best(cell, "two flags")]["token_goodput"] == max(each["token_goodput"] for each in flags)


def test_every_scenario_is_a_load_in_order() -> None:
    """All requests of the stretch, sorted by time; those of constant speed are said to be."""
    for name, scenario in SCENARIOS.items():
        load = scenario.load(stretch(1), 1.5)
        assert len(load.arrivals) == 400, name
        assert list(load.arrivals) == sorted(load.arrivals, key=lambda each: each.at), name
        assert scenario.constant == (len(load.speeds) == 1), name
