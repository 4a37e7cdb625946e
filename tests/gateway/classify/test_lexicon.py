"""Words, phrases, and how they are found."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.classify import lexicon
from gateway.classify.lexicon import CODE, DIFFICULTY, LISTED, MATHS, SENTENCE, SUM, TASKS, Lexicon, tokenise
from tests.gateway.steps import lines_run

TOKENS: list[tuple[str, list[str]]] = [
    ("", []),
    ("Fix the TYPOS!", ["fix", "the", "typos"]),
    ("ÜBERSETZE ÉTÉ", ["übersetze", "été"]),
    # An apostrophe belongs to its word, a hyphen and an underscore part words.
    ("what's isn't O'Neill 'quoted'", ["what's", "isn't", "o'neill", "quoted"]),
    ("what\N{RIGHT SINGLE QUOTATION MARK}s", ["what's"]),
    ("trade-off step-by-step snake_case", ["trade", "off", "step", "by", "step", "snake", "case"]),
    # Every number is one and the same, and what begins with a digit is a number.
    ("7 1984 3rd 2nd 12:30 1.5", ["#", "#", "#", "#", "#", "#", "#", "#"]),
    ("q3 v2", ["q3", "v2"]),
    ("٣ books", ["#", "books"]),
    # What is no word is nothing.
    ("?!… 😀 -- 'n'", ["n"]),
    ("为什么 天空", ["为什么", "天空"]),
]

GROUPS = {**DIFFICULTY, **TASKS}

PHRASES = Lexicon({"fruit": "apple, apple pie, red apple", "sums": "# plus #", "asks": "what's", "both": "apple"})

COUNTS: list[tuple[str, dict[str, int]]] = [
    ("", {}),
    ("pear", {}),
    ("apple", {"fruit": 1, "both": 1}),
    ("APPLE, Apple", {"fruit": 2, "both": 2}),
    ("applesauce", {}),
    # Phrases that overlap each count.
    ("apple pie", {"fruit": 2, "both": 1}),
    ("a red apple pie", {"fruit": 3, "both": 1}),
    ("apple, pie", {"fruit": 2, "both": 1}),
    ("apple-pie", {"fruit": 2, "both": 1}),
    ("pie apple", {"fruit": 1, "both": 1}),
    # A phrase that is cut off by the end is none.
    ("red", {}),
    ("3 plus", {}),
    ("3 plus 4", {"sums": 1}),
    ("3 plus 4 plus 5", {"sums": 2}),
    ("what's", {"asks": 1}),
    ("what is", {}),
]


@pytest.mark.parametrize(("text", "tokens"), TOKENS)
def test_words(text: str, tokens: list[str]) -> None:
    """In lower case, without marks."""
    assert tokenise(text) == tokens


@pytest.mark.parametrize(("text", "counts"), COUNTS)
def test_phrases(text: str, counts: dict[str, int]) -> None:
    """Each is counted wherever it begins; a group that does not occur is absent."""
    assert PHRASES.count(tokenise(text)) == counts


@pytest.mark.parametrize(("group", "phrases"), list(GROUPS.items()))
def test_every_phrase_of_the_house_is_found(group: str, phrases: str) -> None:
    """One that is written as no text is ever read would be dead weight."""
    words = Lexicon(GROUPS)
    for phrase in phrases.split(","):
        said = phrase.strip().replace("#", "12").upper()
        assert words.count(tokenise(f"So {said}.")).get(group), phrase


@pytest.mark.parametrize("phrases", GROUPS.values(), ids=GROUPS.keys())
def test_no_phrase_stands_in_a_group_twice(phrases: str) -> None:
    """It would count twice."""
    found = [" ".join(phrase.split()) for phrase in phrases.split(",")]
    assert sorted(found) == sorted(set(found))


def test_longer_lists_take_no_longer() -> None:
    """Words are looked up and not searched for."""
    tokens = tokenise("the quick brown fox jumps over the lazy dog " * 20)
    few = Lexicon({"g": "fox"})
    many = Lexicon({"g": ",".join(["fox", *(f"word{number}" for number in range(5_000))])})
    assert lines_run(lambda: many.count(tokens)) == lines_run(lambda: few.count(tokens))


FOUND: list[tuple[re.Pattern[str], str, int]] = [
    (MATHS, "∫ f(x) dx", 2),
    (MATHS, r"\frac{1}{2} and \sqrt 2", 2),
    (MATHS, "x^2, x^{10}, a_i, a_{10}, 7 mod 3, x²", 6),
    (MATHS, "on the model, and file_name", 0),
    (CODE, "```", 1),
    (CODE, "def f():\n    return 1", 2),
    (CODE, "  import os", 1),
    (CODE, "a == b; x => y != z", 3),
    (CODE, "f();\n}\n", 2),
    (CODE, "std::vector", 1),
    (CODE, "Traceback (most recent call last): Exception", 2),
    (CODE, "We import wine. A class of ours is public.", 0),
    (LISTED, "- a\n* b\n• c\n1. d\n2) e\n(3) f\na) g", 7),
    (LISTED, "a - b * c, 1.5 and 100. x", 0),
    (LISTED, "-a\n1.a", 0),
    (SENTENCE, "One. Two! Three? Four", 3),
    (SENTENCE, "Really?! Well... yes.", 3),
    (SENTENCE, "One\nTwo\n", 2),
    (SENTENCE, "It is 1.5 at example.com", 0),
]


@pytest.mark.parametrize(("pattern", "text", "count"), FOUND)
def test_marks_of_form(pattern: re.Pattern[str], text: str, count: int) -> None:
    """One row per thing that gives away maths, code, lists and sentences, and per thing that only looks like it."""
    assert len(pattern.findall(text)) == count


@pytest.mark.parametrize(
    "text",
    ["2+2", "What is 17 * 23?", "how much is 15% of 80?", "12,5 divided by 4 =", "calculate 3 x 4.", "9 percent of 10"],
)
def test_plain_sums(text: str) -> None:
    """Two numbers and what to do with them."""
    assert SUM.match(text)


@pytest.mark.parametrize("text", ["", "2", "2 + x", "2 + 2 + 2", "Why is 2 + 2 four?", "Add 2 and 2", "2024-01-05 log"])
def test_no_plain_sums(text: str) -> None:
    """Anything more is."""
    assert not SUM.match(text)


@given(st.text(st.sampled_from("ab \\^_(x){}+mod∫²é→."), max_size=60))
@settings(max_examples=500, deadline=None)
def test_no_maths_is_missed_for_haste(text: str) -> None:
    """The quick look before the pattern never says no where the pattern would have said yes."""
    assert lexicon.may_hold_maths(text) or not MATHS.search(text)


@pytest.mark.parametrize(
    "text", ["let me know", "import duties on wine", "public holidays in France;", "class 5 maths"]
)
def test_one_line_of_words_is_no_code(text: str) -> None:
    """Sentences begin with the words of programming languages as well."""
    assert not lexicon.may_hold_code(text)


@pytest.mark.parametrize("text", ["x = 1", "f()", "{}", "`ls`", "a::b", "def f:\n  x"])
def test_one_line_of_marks_may_be(text: str) -> None:
    """Then it is worth looking."""
    assert lexicon.may_hold_code(text)
