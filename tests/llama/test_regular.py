"""Patterns, bounds and words become automata that accept exactly the right texts, within bounded work."""

import re
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_models.llama.bounds import Bounds, Digits
from local_models.llama.characters import EVERY, complement, overlap, union
from local_models.llama.errors import SchemaError
from local_models.llama.pattern import compile_pattern
from local_models.llama.regular import EMPTY, NOTHING, Arena, Expression, State


def accepts(states: tuple[State, ...], text: str) -> bool:
    """Run the automaton; one without states accepts nothing."""
    if not states:
        return False
    here = 0
    for character in text:
        code = ord(character)
        targets = [target for ranges, target in states[here].edges if any(low <= code <= high for low, high in ranges)]
        if not targets:
            return False
        (here,) = targets
    return states[here].accepting


def matcher(pattern: str) -> tuple[State, ...]:
    """The automaton of a pattern."""
    arena = Arena()
    return arena.automaton(compile_pattern(pattern, arena))


def test_ranges_are_kept_sorted_apart_and_without_surrogates() -> None:
    """Set operations on characters."""
    assert union([(5, 9), (1, 4), (20, 30)]) == ((1, 9), (20, 30))
    assert overlap(((1, 9),), ((5, 20),)) == ((5, 9),)
    assert complement(((0, 0x60), (0x62, 0x10FFFF))) == ((0x61, 0x61),)
    assert complement(()) == EVERY


def test_equal_expressions_are_the_same_number() -> None:
    """Interning is what keeps automata finite."""
    arena = Arena()
    a, b = arena.literal("a"), arena.literal("b")
    assert arena.alt(a, b) == arena.alt(b, a, NOTHING)
    assert arena.seq(arena.seq(a, b), a) == arena.seq(a, arena.seq(b, a))
    assert arena.seq(a, NOTHING) == NOTHING
    assert arena.repeat(a, 0, 0) == EMPTY
    assert arena.other(arena.other(a)) == a


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{3}-\d{2,4}$",
        r"foo|^bar$",
        r"a.c",
        r"^(?:x|yz){2,}w?$",
        r"^(?<year>\d+)/(\w+)$",
        r"^[^\]a-c-]+$",
        r"^\x41é\t[\b\-\]]$",
        r"^a{2}b{0,1}c+?$",
        r"^(a?){5}b$",
        r"",
        r"^$",
        r"^a\.b\/c\$$",
        r"^\{x}{1,$",
    ],
)
@settings(deadline=None)
@given(data=st.data())
def test_a_pattern_accepts_what_the_re_module_accepts(pattern: str, data: st.DataObject) -> None:
    """Texts that match and texts that nearly do are told apart as Python tells them."""
    python = re.compile(pattern.replace("(?<", "(?P<").replace("$", r"\Z").replace(r"\\Z", r"\$"), re.ASCII)
    text = data.draw(st.from_regex(python) | st.text(alphabet="abcxyzwfor AB-]12345é\t\b./${1,", max_size=8))
    # Elsewhere dialects differ about \d and \w, and about whether a dot is a carriage return: the smaller set is taken.
    if all(ord(character) < 128 or character == "é" for character in text) and "\r" not in text:
        assert accepts(matcher(pattern), text) == bool(python.search(text))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)b", "look-around"),
        ("(?i)a", "inline flags"),
        (r"(a)\1", r"\1 is not supported"),
        (r"\bword\b", r"\b is not supported"),
        (r"\p{L}", r"\p is not supported"),
        ("(^a)", "anchor inside a group"),
        ("a$b", "not supported here"),
        ("[a", "not closed"),
        ("(a", "unclosed"),
        ("a)", "not supported here"),
        ("*a", "nothing to repeat"),
        ("a**", "quantifier after a quantifier"),
        ("a{5,2}", "wrong way round"),
        ("[z-a]", "not a range"),
        (r"\u12", "not a character escape"),
        ("a\\", "not supported"),
        ("a{1001}", "limit of 1,000"),
        ("a{99999999999}", "limit of 1,000"),
        ("(" * 40 + "a" + ")" * 40, "limit of 32 groups"),
        ("a" * 1_001, "limit of 1,000"),
    ],
)
def test_what_a_pattern_may_not_hold_is_named(pattern: str, why: str) -> None:
    """Unsupported syntax is an error that names it, never a wrong automaton."""
    with pytest.raises(SchemaError, match=re.escape(why)):
        matcher(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|b)*a(a|b){15}",
        "^((a{1,100}){1,100}b){1,100}$",
        "^(.*a.*b.*c.*d.*e.*f.*g.*h){20}$",
        "^[a-z]{0,1000}[0-9a]{0,1000}$",
        "x*" * 400,
        ".*a.{900}",
    ],
)
def test_patterns_that_would_explode_are_refused_in_time(pattern: str) -> None:
    """No pattern buys more than a bounded amount of work."""
    begin = time.process_time()
    with pytest.raises(SchemaError, match="limit"):
        matcher(pattern)
    assert time.process_time() - begin < 0.5, "a tenth of that on an idle machine"


@pytest.mark.parametrize("pattern", ["^(a?){300}b$", "^(((((a*)*)*)*)*)$", "^(a|a|ab|abb)*$"])
def test_ambiguous_patterns_become_small_deterministic_automata(pattern: str) -> None:
    """What takes a backtracking or parallel matcher for ever is a few states here."""
    states = matcher(pattern)
    assert len(states) < 400
    assert accepts(states, "aaab") == bool(re.search(pattern, "aaab"))


@given(
    words=st.lists(st.text(alphabet="ab\n🚀", max_size=5), min_size=1, max_size=8), probe=st.text("ab\n🚀", max_size=5)
)
def test_words_accept_exactly_themselves(words: list[str], probe: str) -> None:
    """A set of words, some of them beginnings of others, and nothing else."""
    arena = Arena()
    states = arena.automaton(arena.words(words))
    assert all(accepts(states, word) for word in words)
    assert accepts(states, probe) == (probe in words)
    excluded = arena.automaton(arena.both(arena.repeat(arena.chars(EVERY), 0, None), arena.other(arena.words(words))))
    assert accepts(excluded, probe) == (probe not in words)


def test_a_contradiction_has_no_states() -> None:
    """Nothing is both `a` and `b`."""
    arena = Arena()
    assert arena.automaton(arena.both(arena.literal("a"), arena.literal("b"))) == ()
    assert arena.disjoint(arena.literal("ab"), arena.literal("ac"))
    assert not arena.disjoint(arena.repeat(arena.literal("a"), 0, None), arena.literal("aa"))


def inside(bounds: Bounds, value: Decimal) -> bool:
    """The definition of bounds."""
    low = bounds.low is None or value > bounds.low or (value == bounds.low and not bounds.above)
    return low and (bounds.high is None or value < bounds.high or (value == bounds.high and not bounds.below))


def numbers(bounds: Bounds, *, whole: bool) -> tuple[State, ...]:
    """The automaton of numbers within bounds."""
    arena = Arena()
    expression: Expression = Digits(arena).within(bounds, whole=whole)
    return arena.automaton(expression)


SIDES = st.none() | st.decimals(-2_000, 2_000, places=2) | st.integers(-2_000, 2_000).map(Decimal)


BOUNDS = st.builds(Bounds, SIDES, SIDES, above=st.booleans(), below=st.booleans())


@given(bounds=BOUNDS, value=st.integers(-2_100, 2_100))
def test_integers_within_bounds_are_exactly_those(bounds: Bounds, value: int) -> None:
    """Every integer is accepted if and only if it lies within."""
    assert accepts(numbers(bounds, whole=True), str(value)) == inside(bounds, Decimal(value))


@given(bounds=BOUNDS, value=st.decimals(-2_100, 2_100, places=4))
def test_numbers_that_are_accepted_lie_within_bounds(bounds: Bounds, value: Decimal) -> None:
    """No accepted text is out of bounds, and well inside them every number with few digits is accepted."""
    states = numbers(bounds, whole=False)
    for text in (f"{value:.4f}", f"{value:.1f}", f"{value:.0f}", f"{value:.4f}99"):
        if accepts(states, text):
            assert inside(bounds, Decimal(text))
    margin = Decimal("0.02")
    low, high = bounds.low, bounds.high
    wide = Bounds(None if low is None else low + margin, None if high is None else high - margin)
    if inside(wide, value) and value != 0:
        assert accepts(states, f"{value:.4f}")


def test_numbers_without_bounds_have_exponents_and_stay_finite() -> None:
    """Every accepted text is a JSON number that a double can hold."""
    states = numbers(Bounds(), whole=False)
    for text in ("0", "-0.5", "12e5", "1.25E-10", "9" * 16, "1e99"):
        assert accepts(states, text)
    for text in ("01", ".5", "1.", "+1", "1e999", "", "-", "1e"):
        assert not accepts(states, text)


def test_a_bound_with_too_many_decimals_is_refused() -> None:
    """The limit is named."""
    with pytest.raises(SchemaError, match="limit of 12 decimals"):
        numbers(Bounds(low=Decimal("0.12345678901234567")), whole=False)
