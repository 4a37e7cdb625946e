"""The error band: chances from what was foretold and what came."""

import pytest

from gateway.gate.band import ErrorBand


def test_nothing_known_is_a_wide_margin() -> None:
    """Before anything came, half as long again is as likely as it is in a wide distribution, and not impossible."""
    band = ErrorBand()
    assert band.exceeds(1.0, 1.0) == pytest.approx(0.5, abs=0.05)
    assert 0.1 < band.exceeds(1.0, 1.5) < 0.25
    assert 0 < band.exceeds(1.0, 100.0) < 0.05


def test_it_may_begin_with_nothing() -> None:
    """Nothing is made up where nothing is to be asked yet; a guess is no more than that, and is pushed out."""
    band = ErrorBand(guessed=False)
    assert len(band) == 0
    band.observe(1.0, 2.0)
    assert band.ratios == (2.0,)
    assert len(ErrorBand()) > 0
    assert len(ErrorBand((1.5,), guessed=False)) == len(ErrorBand((1.5,))) == 1


def test_the_chance_is_the_share_of_like_errors() -> None:
    """Of a hundred forecasts thirty came out twice as late: three in ten will, whatever was before."""
    band = ErrorBand()
    for _ in range(100):
        band.observe(1.0, 8.0)
    for number in range(100):
        band.observe(2.0, 4.0 if number % 10 < 3 else 2.0)
    assert band.exceeds(1.0, 1.5) == pytest.approx(0.3, abs=0.01)
    assert band.exceeds(10.0, 15.0) == pytest.approx(0.3, abs=0.01)
    assert band.exceeds(1.0, 2.5) < 0.01
    assert band.exceeds(1.0, 0.9) > 0.99


def test_what_is_due_already_is_late() -> None:
    """Who has no time left is late, whatever the errors were."""
    assert ErrorBand().exceeds(0.1, -0.5) > 0.95
