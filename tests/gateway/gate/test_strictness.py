"""Which answers say what of the promises that are made."""

import pytest
from msgspec import structs

from gateway.gate.entries import Entry
from gateway.gate.strictness import Strictness

FIRST_S, GAP_S = 2.0, 0.1
ENTRY = Entry(
    prompt=10,
    arrived_at=0.0,
    sent_at=0.0,
    foretold_s=0.5,
    foretold_gap_s=0.05,
    first_s=FIRST_S,
    gap_s=GAP_S,
    first_at=1.0,
    tokens=11,
)
"""Its first token came in time; the others have until 2.0."""
LATE = structs.replace(ENTRY, first_at=FIRST_S + 1, tokens=1)


def learnt(entry: Entry, now: float = 1.5, speed: float = 1.0) -> tuple[float, float]:
    """Strictness of first tokens and of those between, after one answer."""
    one = Strictness()
    one.learn(entry, now, speed)
    return one.late, one.slow


def test_each_promise_has_its_own() -> None:
    """A late first token tells nothing of the time between tokens, nor the other way round; kept ones loosen both."""
    late, slow = learnt(ENTRY)
    assert 0.99 < late < 1.0
    assert 0.99 < slow < 1.0
    late, slow = learnt(LATE, 3.0)
    assert (late > 1.4, slow) == (True, 1.0)
    late, slow = learnt(ENTRY, 5.0)
    assert (late < 1.0, slow > 1.4) == (True, True)


@pytest.mark.parametrize("tokens", [2, 7, 8])
def test_few_tokens_tell_nothing_of_the_time_between_them(tokens: int) -> None:
    """It hangs on a single step, which no forecast is about."""
    _, slow = learnt(structs.replace(ENTRY, tokens=tokens), 5.0)
    assert (slow > 1.0) is (tokens == 8)


@pytest.mark.parametrize(("speed", "counts"), [(1.0, True), (0.71, True), (0.69, False), (0.3, False)])
def test_a_promise_that_nobody_could_keep_makes_it_no_stricter(*, speed: float, counts: bool) -> None:
    """The engine has lost more of its speed since than a forecast can allow for."""
    assert (learnt(LATE, 3.0, speed)[0] > 1.0) is counts
    assert (learnt(ENTRY, 5.0, speed)[1] > 1.0) is counts
    assert learnt(ENTRY, 1.5, speed) == learnt(ENTRY), "a kept one counts at any speed"


def test_speed_is_that_at_which_it_was_sent() -> None:
    """Who was promised something by an engine that was slow already is no surprise."""
    assert learnt(structs.replace(LATE, speed=0.5), 3.0, 0.4)[0] > 1.0


@pytest.mark.parametrize(
    "entry",
    [
        structs.replace(LATE, first_s=None, gap_s=None),
        structs.replace(LATE, pauses=True),
        structs.replace(ENTRY, first_at=None, tokens=0),
    ],
    ids=["nothing was promised", "served when nobody else is", "given up in time"],
)
def test_who_says_nothing(entry: Entry) -> None:
    """Of promises that were not made, or not for this, or never came to be kept."""
    assert learnt(entry) == (1.0, 1.0)


def test_a_first_token_that_never_came_is_late() -> None:
    """As soon as its time is over."""
    assert learnt(structs.replace(ENTRY, first_at=None, tokens=0), 2.1)[0] > 1.4


def test_it_has_bounds() -> None:
    """A thousand broken promises shut the gate for nobody who is sure to be in time, and as many kept ones open it for
    nobody who is sure to be late.
    """
    strict, loose = Strictness(), Strictness()
    for _ in range(10_000):
        strict.learn(LATE, 3.0, 1.0)
        loose.learn(ENTRY, 1.5, 1.0)
    assert (strict.late, loose.late, loose.slow) == (3.0, 0.2, 0.2)
    assert strict.chance(0.01, 0.0) < 1 / 9
    assert loose.chance(1.0, 1.0) > 1 / 9


def test_the_worse_of_both_chances_counts() -> None:
    """And no chance is above one."""
    one = Strictness(2.0, 0.5)
    assert one.chance(0.1, 0.1) == pytest.approx(0.2)
    assert one.chance(0.1, 0.9) == pytest.approx(0.45)
    assert one.chance(0.9, 0.0) == 1.0
