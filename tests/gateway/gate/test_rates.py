"""What is learnt of an engine's speed."""

import pytest

from gateway.gate.entries import Entry
from gateway.gate.rates import NOTHING, Learnt, Rates, margin


def answered(rates: Rates, speed: float, prompt: int = 200) -> None:
    """A prompt that was foretold by what is known is read at `speed` tokens per second."""
    one = Entry(
        prompt=prompt,
        arrived_at=0.0,
        sent_at=0.0,
        foretold_s=prompt / rates.prompt_rate,
        foretold_gap_s=0.0,
        first_s=None,
        gap_s=None,
        first_at=prompt / speed,
        tokens=1,
    )
    rates.began(one)


@pytest.mark.parametrize("speed", [50.0, 300.0, 4000.0])
def test_the_rate_is_found_whatever_the_first_guess(speed: float) -> None:
    """Within sixty prompts, from a guess that is wrong by a factor of twenty; and the errors become small with it."""
    rates = Rates(Learnt(rate=200.0))
    for _ in range(60):
        answered(rates, speed)
    assert rates.prompt_rate == pytest.approx(speed, rel=0.1)
    for _ in range(100):
        answered(rates, speed)
    assert rates.first.exceeds(1.0, 1.2) < 0.01


def test_what_comes_at_once_teaches_nothing() -> None:
    """A first token that was foretold within 50 ms tells of the way there."""
    rates = Rates(Learnt(rate=200.0))
    for _ in range(60):
        answered(rates, 20.0, prompt=8)
    assert rates.prompt_rate == 200


def test_an_answer_at_once_does_not_make_a_rate_without_end() -> None:
    """Ten thousand first tokens in no time, and ten thousand that took an hour: the rate stays a number."""
    rates = Rates(Learnt(rate=200.0))
    for speed in (1e12, 1e-3):
        for _ in range(10_000):
            answered(rates, speed, prompt=10**9)
        assert 0.05 < rates.prompt_rate < 1e8


def test_errors_of_both_signs_move_the_rate_little() -> None:
    """Twice as fast and twice as slow in turn: the rate stays where it is; only what lasts is followed in big steps."""
    rates = Rates(Learnt(rate=200.0))
    seen = []
    for number in range(60):
        answered(rates, rates.prompt_rate * (2.0 if number % 2 else 0.5), prompt=20_000)
        seen.append(rates.prompt_rate)
    assert max(seen[20:]) / min(seen[20:]) < 1.1
    before = rates.prompt_rate
    for _ in range(10):
        answered(rates, before / 2, prompt=20_000)
    assert rates.prompt_rate < 0.65 * before


def test_what_first_tokens_told_of_the_speed_is_not_believed_twice() -> None:
    """The tokens after them tell of the same loss later. What is news in that counts: more of it, or the contrary."""
    rates = Rates(Learnt(rate=200.0))
    for _ in range(4):
        answered(rates, rates.prompt_rate / 2)
    told = rates.prompt_rate / 200
    assert told < 0.8
    rates.follow((1 + told) / 2)
    assert rates.prompt_rate == pytest.approx(200 * told)
    rates.follow(0.5)
    assert 200 * told * 0.5 < rates.prompt_rate < 200 * told
    slow = rates.prompt_rate
    rates.follow(2.0)
    assert rates.prompt_rate == pytest.approx(2 * slow)


def test_what_first_tokens_told_is_forgotten_by_and_by() -> None:
    """Thirty first tokens later a loss of speed is another one."""
    rates = Rates(Learnt(rate=200.0))
    for _ in range(4):
        answered(rates, rates.prompt_rate / 2)
    for _ in range(30):
        answered(rates, rates.prompt_rate)
    slow = rates.prompt_rate
    rates.follow(0.5)
    assert rates.prompt_rate == pytest.approx(slow / 2, rel=0.05)


def ended(rates: Rates, foretold_s: float, gap_s: float, *, promised_s: float | None = 0.1) -> None:
    """An answer of eleven tokens."""
    one = Entry(
        prompt=1, arrived_at=0.0, sent_at=0.0, foretold_s=0.1, foretold_gap_s=foretold_s, first_s=None,
        gap_s=promised_s, first_at=1.0, tokens=11,
    )  # fmt: skip
    rates.ended(one, 1.0 + 10 * gap_s)


def test_near_to_what_is_promised_forecasts_have_errors_of_their_own() -> None:
    """Short times between tokens come out twice as long, for others are let in; long ones come out as foretold."""
    rates = Rates(Learnt(rate=200.0))
    for number in range(200):
        ended(rates, *((0.07, 0.07) if number % 4 == 0 else (0.04, 0.12)))
    assert rates.slow(0.07, 0.1) < 0.02
    assert rates.slow(0.04, 0.1) > 0.98
    again = Rates(Learnt(rate=200.0, gap=rates.gap.ratios, near=rates.near.ratios))
    assert again.slow(0.07, 0.1) == rates.slow(0.07, 0.1)


def test_until_there_are_enough_of_them_all_count() -> None:
    """Nineteen say nothing yet; nor does one that was promised nothing ever come near to it."""
    rates = Rates(Learnt(rate=200.0))
    for _ in range(100):
        ended(rates, 0.04, 0.12)
        ended(rates, 0.09, 0.27, promised_s=None)
    for _ in range(19):
        ended(rates, 0.07, 0.07)
    assert rates.slow(0.07, 0.1) > 0.98
    ended(rates, 0.07, 0.07)
    assert rates.slow(0.07, 0.1) < 0.05


def test_gaps_are_compared_where_they_were_foretold() -> None:
    """Half as long again as foretold, every time: the next one will be too."""
    rates = Rates(Learnt(rate=200.0))
    for _ in range(100):
        one = Entry(
            prompt=1, arrived_at=0.0, sent_at=0.0, foretold_s=1.0, foretold_gap_s=0.1, first_s=None, gap_s=0.14,
            first_at=1.0, tokens=11,
        )  # fmt: skip
        rates.ended(one, 2.5)
        one.foretold_gap_s = 0.0
        rates.ended(one, 99.0)
    assert rates.slow(0.1, 0.14) > 0.9
    assert rates.slow(0.11, 0.18) < 0.1


def first_of(rates: Rates, work: int, took: float) -> None:
    """A first token after so many prompt tokens, which nothing useful was foretold of."""
    rates.began(
        Entry(
            prompt=work,
            arrived_at=0.0,
            sent_at=0.0,
            foretold_s=work / rates.prompt_rate,
            foretold_gap_s=0.0,
            first_s=1.0,
            gap_s=None,
            work=work,
            first_at=took,
            tokens=1,
        )
    )


def test_the_first_of_its_size_is_believed() -> None:
    """What a short prompt took was mostly the way there: the first long one sets the rate, and the errors stay few."""
    rates = Rates(NOTHING)
    assert rates.guessed(1)
    first_of(rates, 20, 0.2)
    assert (rates.prompt_rate, rates.guessed(80), rates.guessed(81)) == (100.0, False, True)
    before = rates.first.ratios
    first_of(rates, 2_000, 0.5)
    assert (rates.prompt_rate, rates.reach) == (4_000.0, 2_000)
    assert rates.first.ratios == before


def test_what_comes_at_once_leaves_an_unknown_engine_unknown() -> None:
    """Within a tenth of the objective nothing needs to be known of it."""
    rates = Rates(NOTHING)
    for _ in range(20):
        first_of(rates, 20, 0.05)
    assert rates.guessed(20)
    assert [rates.unknown(work) for work in (80, 81)] == [False, True], "and yet a second without a token is odd"


def sent(rates: Rates, took: float, streams: int = 0, later_s: float = 0.0) -> None:
    """A prompt of 200 tokens that was foretold by what is known, beside so many streams, has its first token after so
    long.
    """
    reading_s = rates.reading_s(200, 200, (), streams)
    rates.began(
        Entry(
            prompt=200,
            arrived_at=0.0,
            sent_at=0.0,
            foretold_s=sum(reading_s),
            foretold_gap_s=0.0,
            first_s=3.0,
            gap_s=None,
            work=200,
            reading_s=reading_s,
            later_s=later_s,
            first_at=took,
            tokens=1,
        )
    )


def test_all_rates_are_found() -> None:
    """An engine that reads 400 tokens a second alone, 200 beside two streams and 100 beside many; then half of that."""
    rates = Rates(Learnt(rate=300.0))
    for slower, rounds in ((1.0, 300), (2.0, 60)):
        for _ in range(rounds):
            sent(rates, slower * 0.5)
            sent(rates, slower * 1.0, 2)
            sent(rates, slower * 2.0, 3)
        alone, beside = rates.among(0), rates.among(2)
        assert rates.among(3) / alone == pytest.approx(0.25, rel=0.15)
        assert beside / alone == pytest.approx(0.5, rel=0.15)
        assert alone == pytest.approx(400 / slower, rel=0.15)


def test_what_is_little_of_what_was_promised_does_not_spoil_what_is_known_of_slow_tokens() -> None:
    """Answers foretold 10 ms between tokens that took 30: one foretold 60 ms is not expected to take 180."""
    rates = Rates(Learnt(rate=200.0))
    for number in range(200):
        rates.ended(
            Entry(
                prompt=1, arrived_at=0.0, sent_at=0.0, foretold_s=0.1, foretold_gap_s=0.01 if number % 2 else 0.03,
                first_s=None, gap_s=0.1, first_at=0.0, tokens=11,
            ),
            0.3,
        )  # fmt: skip
    assert rates.slow(0.06, 0.1) < 0.01
    assert rates.slow(0.09, 0.1) > 0.4


@pytest.mark.parametrize(("overtaking", "found"), [(0.0, 0.0), (1.0, 1.0)])
def test_whether_prompts_are_overtaken_is_found(overtaking: float, found: float) -> None:
    """Half of the prompts saw a second of others come after them, which delayed their first token or did not."""
    rates = Rates(Learnt(rate=200.0, beside=1.0, overtaken=0.5))
    for _ in range(200):
        sent(rates, 1.0, 1)
        sent(rates, 1.0 + overtaking, 1, later_s=1.0)
    assert rates.overtaken == pytest.approx(found, abs=0.1)


def test_a_step_more_does_not_spoil_what_is_known_of_long_ones() -> None:
    """First tokens foretold in 0.4 s that came in 0.8: one foretold in 2 s is hardly expected in 4."""
    rates = Rates(Learnt(rate=500.0, beside=1.0, first=(1.0,) * 100))
    for _ in range(100):
        rates.prompt_rate = 500.0
        sent(rates, 0.8)
    more = margin(3.0)
    assert rates.first.exceeds(2.0 + more, 2.4 + more) > 0.9
    assert rates.first.exceeds(2.0 + more, 3.2 + more) < 0.01


def test_the_mean_of_a_few_tokens_tells_nothing_of_the_next_answer() -> None:
    """An answer of two tokens with a long step in between is no reason to expect that of a hundred."""
    rates = Rates(Learnt(rate=200.0))
    before = rates.gap.ratios
    one = Entry(
        prompt=1, arrived_at=0.0, sent_at=0.0, foretold_s=1.0, foretold_gap_s=0.1, first_s=None, gap_s=None,
        first_at=1.0, tokens=2,
    )  # fmt: skip
    rates.ended(one, 3.0)
    assert rates.gap.ratios == before
