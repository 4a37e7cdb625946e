"""What of a text says what to do, and what is only what it is done to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.classify.instruction import instruction, last_question

ASK = "What's the order number?"
MAIL = "Dear all, on Monday the parcel left Hamburg. It was heavy, and nobody signed for it. Please look into it."
CODE = "def f(x):\n\n    return prove(x)"
LONG_MAIL = " ".join([MAIL] * 12)

MOST = 1_000

ASKED: list[tuple[str, str]] = [
    # A text of one paragraph is all instruction.
    (ASK, ASK),
    ("", ""),
    ("   ", "   "),
    ("Fix this: teh cat.\nThanks", "Fix this: teh cat.\nThanks"),
    ("one\ntwo\nthree", "one\ntwo\nthree"),
    # Of many lines the first and the last ask.
    ("Sort these:\npears\napples\nplums\nby length, please", "Sort these:\nby length, please"),
    ("Sort these:\npears\napples\nplums\n  \n", "Sort these:\nplums"),
    # Of several paragraphs the first and the last ask; what stands between them is material.
    (f"{ASK}\n\n{MAIL}\n\nThanks", f"{ASK}\nThanks"),
    (f"{ASK}\n \t \n{MAIL}\n\n\n\nThanks\n\n", f"{ASK}\nThanks"),
    (f"{ASK}\n\nThanks", f"{ASK}\nThanks"),
    # Code fences are material, also one that is never closed.
    (f"Why is this slow?\n```python\n{CODE}\n```", "Why is this slow?"),
    (f"```\n{CODE}\n```\nWhy is this slow?", "Why is this slow?"),
    (f"Why is this slow?\n```\n{CODE}", "Why is this slow?"),
    (f"Compare\n```\n{CODE}\n```\nwith\n```\n{CODE}\n```\nand be brief", "Compare\nand be brief"),
    ("Use `f(x)` here", "Use `f(x)` here"),
    # So are long quotations, in every kind of quotation mark.
    (f'Translate "{MAIL}"', 'Translate  ""'),
    (f"Translate “{MAIL}”", 'Translate  ""'),
    (f"Übersetze „{MAIL}“", 'Übersetze  ""'),
    (f"Traduis «{MAIL}»", 'Traduis  ""'),
    (f"Translate '{MAIL}'", 'Translate  ""'),
    (f'Which is right, "{MAIL}" or "{MAIL}"?', 'Which is right,  ""  or  "" ?'),
    # Short ones are words of the instruction, and so is what apostrophes stand around.
    ('Translate "good morning"', 'Translate "good morning"'),
    ("Don't say what they didn't do or couldn't know", "Don't say what they didn't do or couldn't know"),
]

LONG = "x" * 2_000


@pytest.mark.parametrize(("text", "expected"), ASKED)
def test_what_asks(text: str, expected: str) -> None:
    """One row per shape of a text."""
    assert instruction(text) == expected


def test_of_long_prose_its_beginning_and_its_end_ask() -> None:
    """People begin with what they want, or end with it."""
    found = instruction(f"Sum up. {LONG_MAIL} In two lines!")
    assert found.startswith("Sum up. Dear all")
    assert found.endswith("In two lines!")
    assert len(found) < len(LONG_MAIL)


def test_a_long_last_paragraph_is_material_unless_it_ends_in_a_question() -> None:
    """What is pasted under an instruction has no part in it; a question after all of it has."""
    assert instruction(f"Sum up:\n\n{LONG_MAIL}") == "Sum up:"
    found = instruction(f"Sum up:\n\n{LONG_MAIL} Is that legal?")
    assert found.startswith("Sum up:\n")
    assert found.endswith("Is that legal?")


def test_material_alone_is_its_own_instruction() -> None:
    """A text that is nothing but a fence or a quotation still says something."""
    assert "return prove(x)" in instruction(f"```\n{CODE}\n```")
    assert instruction(f'"{MAIL}"') == '""'


@pytest.mark.parametrize("middle", ["", "x" * 1_000_000, "why? " * 200_000, "```" * 300_000, '"\n\n' * 300_000])
def test_the_middle_of_a_long_text_is_not_looked_at(middle: str) -> None:
    """Whatever stands there: the first 1,500 characters and the last 1,000 tell, so that no text takes longer."""
    head, tail = f"Sum up. {LONG}"[:1_500], f"{LONG} Is that legal?"[-1_000:]
    assert instruction(f"{head}{middle}x{tail}") == instruction(f"{head}x{tail}")


@given(st.text(max_size=300), st.sampled_from(["\n", "\n\n", " ", "```", '"', "'", "", "x", "?"]), st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_its_length_is_bounded(piece: str, between: str, times: int) -> None:
    """Whatever the text; and only what is nothing but blanks has an instruction of blanks."""
    text = between.join([piece] * times)
    found = instruction(text)
    assert len(found) <= MOST
    assert not text.strip() or found.strip()


QUESTIONS: list[tuple[str, str]] = [
    # The last question, without what stands before it.
    ("What is the capital of France?", "What is the capital of France"),
    ("Hi. I live here. Is it far? Thanks", "Is it far"),
    ("Is it far? Is it near?", "Is it near"),
    ("One thing: is it far?", "is it far"),
    ("We moved; is it far?", "is it far"),
    ("Dear all\nis it far?", "is it far"),
    # Without a question, the first sentence.
    ("Fix the typos. Thanks", "Fix the typos"),
    ("Fix the typos", "Fix the typos"),
    ("  Translate: good morning", "Translate"),
    ("", ""),
    ("?", ""),
]


@pytest.mark.parametrize(("text", "question"), QUESTIONS)
def test_what_it_comes_down_to(text: str, question: str) -> None:
    """The last question, or the first sentence where nothing is asked."""
    assert last_question(text) == question


def test_a_question_is_at_most_its_last_300_characters() -> None:
    """Without an end before it, it could be all there is."""
    assert last_question(f"{'so ' * 300}is it far?") == f"{'so ' * 300}is it far"[-300:].strip()
