"""`scripts/bench exact`: a short one on the real engine, and what it would find."""

import contextlib
from pathlib import Path

from scripts.benchmarks.exact import MODES, Comparison, Said, compare, run


def test_clients_at_once_get_what_one_alone_gets_from_llama(model_path: Path) -> None:
    """Token for token and to the last digits, with reuse of prefixes and without."""
    found = run(model_path, 9, 6, lambda _title: contextlib.nullcontext())
    assert list(found) == list(MODES)
    reused, anew = found.values()
    assert reused.good
    assert anew.good
    assert (reused.of, anew.of) == (9, 9)
    assert reused.cached > 500
    assert anew.cached == 0


def test_what_differs_is_found() -> None:
    """Another token, an answer that ends early, and a log-probability that is off by more than 1e-3."""
    said = [Said("a", -1.0), Said("b", -2.0)]
    other = [Said("a", -1.0), Said("c", -2.0)]
    off = [Said("a", -1.0), Said("b", -2.0015)]
    assert compare([said, said], [said, said], 7) == Comparison(2, 2, 0.0, 7)
    assert compare([said, said], [said, said], 7).good
    assert not compare([said, said], [said, other], 0).good
    assert not compare([said], [said[:1]], 0).good
    assert compare([said], [off], 0).same == 1
    assert not compare([said], [off], 0).good
