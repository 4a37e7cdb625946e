"""How fast an engine is, by the time between its tokens."""

import math
import random

import pytest

from gateway.gate.cadence import Cadence


def known(spread: float = 0.1) -> tuple[Cadence, random.Random]:
    """One that has seen two and five streams for a while, and the chance by which their times scatter."""
    cadence, chance = Cadence(), random.Random(3)
    for _ in range(300):
        cadence.told(0.03 * math.exp(chance.gauss(0, spread)), 2)
        cadence.told(0.05 * math.exp(chance.gauss(0, spread)), 5)
    return cadence, chance


def test_a_loss_of_speed_is_known_within_a_few_steps() -> None:
    """Half of it: most after eight tokens, whichever number of streams they are of. And so is its return."""
    cadence, chance = known()
    before = cadence.speed
    for streams, usual in ((2, 0.03), (5, 0.05)) * 4:
        cadence.told(2 * usual * math.exp(chance.gauss(0, 0.1)), streams)
    assert cadence.speed < 0.75 * before
    for _ in range(20):
        cadence.told(0.06 * math.exp(chance.gauss(0, 0.1)), 2)
    slow = cadence.speed
    assert slow < 0.65 * before
    for _ in range(8):
        cadence.told(0.03 * math.exp(chance.gauss(0, 0.1)), 2)
    assert cadence.speed > 1.3 * slow


def test_more_streams_are_no_loss_of_speed() -> None:
    """Steps with fifty take as long as they take, and so do those of sixty."""
    cadence, _ = known()
    before = cadence.speed
    for streams in (50, 51, 60):
        for _ in range(12):
            cadence.told(0.002 * streams, streams)
    assert cadence.speed == pytest.approx(before, rel=0.05)


def test_one_late_step_says_nothing() -> None:
    """However late it is; nor do two that disagree."""
    cadence, _ = known(0.0)
    for gap_s in (3.0, 0.03, 0.3, 0.003, 0.03):
        cadence.told(gap_s, 2)
    assert cadence.speed == 1


@pytest.mark.parametrize(("spread", "most"), [(0.05, 0.2), (0.2, 0.7)])
def test_what_only_scatters_leads_nowhere(spread: float, most: float) -> None:
    """For twenty thousand steps."""
    cadence, chance = known(spread)
    farthest = 0.0
    for _ in range(20_000):
        streams = chance.choice((2, 5))
        cadence.told((0.03 if streams == 2 else 0.05) * math.exp(chance.gauss(0, spread)), streams)
        farthest = max(farthest, abs(math.log(cadence.speed)))
    assert farthest < most


def test_what_somebody_else_has_found_out_is_no_news() -> None:
    """A chip whose clock fell by half is half as fast, once, and for as long as it stays so."""
    cadence, _ = known(0.0)
    cadence.expect(0.5)
    for _ in range(20_000):
        cadence.told(0.06, 2)
    assert cadence.speed == pytest.approx(1.0, rel=0.02)
