"""Each measure moves for what it is meant for, and is absent where there is nothing of it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.classify.lexicon import DIFFICULTY
from gateway.classify.measures import Reading, measure
from gateway.messages import ImagePart, ImageUrl, Message, TextPart
from tests.gateway.classify.readings import SHIPPED, WORDS, measured, reading, user

NOTHING = "Tell Anna about our garden"
"""A request in which nothing is to be noticed but its size."""

GROUPS: dict[str, str] = {
    "proof": "Prove Anna wrong",
    "design": "Refactor our garden",
    "debugging": "Our garden has a deadlock",
    "judgement": "Tell Anna what to do, weigh it",
    "reconciling": "Tell Anna about our conflicting gardens",
    "reasoning": "Tell Anna why",
    "conditions": "Tell Anna unless Ben knows",
    "constraints": "Never tell Anna",
    "steps": "Tell Anna, then Ben",
    "brevity": "Just tell Anna",
    "simple_asks": "Proofread our garden",
    "long_output": "Tell Anna a story",
    "legal": "Tell Anna about our lease",
    "medical": "Tell Anna about our dosage",
    "finance": "Tell Anna about our cash flow",
    "statistics": "Tell Anna about our variance",
}

SHAPES: dict[str, str] = {
    "questions": "Tell Anna about our garden?",
    "numbers_asked": "Tell Anna about seven gardens, no, 7",
    "digits": "Tell Anna about 7 gardens",
    "percentages": "Tell Anna about half % our garden",
    "maths": "Tell Anna about x^2",
    "plain_sum": "2 + 2",
    "code": "x == 1; y != 2; z => 3",
    "list_items": "Tell Anna\n- about our garden",
    "few_words": NOTHING,
    "very_few_words": "Tell Anna",
    "material": f"Tell Anna\n\n{NOTHING}\n\nThanks",
    "long_words": "Tell Anna about our greenhouses",
    "clauses": "Tell Anna; tell Ben",
    "clause_rate": "Tell Anna; tell Ben",
    "sentences": "Tell Anna. Tell Ben.",
    "question_clauses": "Is our garden, Anna, far?",
    "length": NOTHING,
    "instruction_words": NOTHING,
    "word_length": NOTHING,
    "question_words": NOTHING,
}
"""A text for each measure in which it is there."""

OF_SIZE = {"length", "instruction_words", "few_words", "word_length", "question_words"}
"""What even `NOTHING` has."""

OF_CONVERSATIONS = {"multi_turn", "system", "system_brevity"}

ANY = {f"any_{name}" for name in GROUPS}

VALUES: list[tuple[str, str, float]] = [
    (NOTHING, "length", math.log1p(26)),
    (NOTHING, "instruction_words", math.log1p(5)),
    (NOTHING, "word_length", 22 / 5),
    ("Tell greenhouses about watermelons", "long_words", 2 / 4),
    ("a b c d e f g h", "few_words", 1),
    ("a b c d", "very_few_words", 1),
    ("Do it: this, that; and (then) or — now – here", "clauses", math.log1p(7)),
    ("a, b and c", "clause_rate", 2 / 4),
    ("One. Two! Three?", "sentences", math.log1p(3)),
    ("Hi. How far is it? Thanks", "question_words", math.log1p(4)),
    ("Hi, all, of, you. How far, and how long? Thanks", "question_clauses", math.log1p(2)),
    ("1 and 22 and 333", "numbers_asked", math.log1p(3)),
    ("1 and 22 and 333", "digits", math.log1p(6)),
    ("5 %", "percentages", 1),
    ("Sort:\n- a\n- b\n- c", "list_items", math.log1p(3)),
    ("? ? ? ? ?", "questions", 3),
    ("% % % %", "percentages", 3),
    ("∫ ∫ ∫ ∫ ∫", "maths", 3),
    ("∫", "maths", 1),
    ("why why why why", "reasoning", 3),
    ("why why why why", "any_reasoning", 1),
    ("step by step", "steps", 3),
    (f"Sum up:\n\n{'x' * 500}", "material", math.log1p(502)),
]
"""A text, a measure, its value."""

ABSENT: list[tuple[str, str]] = [
    ("a b c d e f g h i", "few_words"),
    ("a b c d e", "very_few_words"),
    ("x == 1; y != 2", "code"),
    ("- a", "list_items"),
    ("2 + 2 apples", "plain_sum"),
    (f"Sum up:\n\n{'why ' * 200}", "reasoning"),
    (f"Sum up:\n\n{'1 ' * 300}", "numbers_asked"),
    ("Is it far? Why, tell me, please", "question_clauses"),
    *((f"Sum up:\n\n{'x ' * 1_000}7 % ∫\n- x", name) for name in ("digits", "percentages", "maths", "list_items")),
]


def test_nothing_is_noticed_where_there_is_nothing() -> None:
    """Only its size is left."""
    assert set(measured(NOTHING)) == OF_SIZE


@pytest.mark.parametrize(("name", "text"), list({**GROUPS, **SHAPES}.items()))
def test_each_measure_is_there_where_it_should_be(name: str, text: str) -> None:
    """And says that there is something of it."""
    assert measured(text)[name] > 0


@pytest.mark.parametrize(("name", "text"), list(GROUPS.items()))
def test_a_group_of_words_moves_its_own_measures_alone(name: str, text: str) -> None:
    """No example has words of another group, so that none stands for two."""
    assert {found for found in measured(text) if found in DIFFICULTY or found in ANY} == {name, f"any_{name}"}


def test_every_measure_has_an_example() -> None:
    """Every group, and everything that the shipped model gives a weight."""
    covered = set(GROUPS) | ANY | set(SHAPES) | OF_CONVERSATIONS
    assert set(GROUPS) == set(DIFFICULTY)
    assert covered >= set(SHIPPED.weights.measures)


@pytest.mark.parametrize(("text", "name", "value"), VALUES)
def test_values(text: str, name: str, value: float) -> None:
    """Sizes and counts grow by their logarithm, marks count up to three."""
    assert measured(text)[name] == pytest.approx(value)


@pytest.mark.parametrize(("text", "name"), ABSENT)
def test_absent(text: str, name: str) -> None:
    """Just beyond a limit, in the material and not in the instruction, or after the first 2,000 characters."""
    assert name not in measured(text)


def conversation(*turns: tuple[str, str]) -> Reading:
    """A reading of these turns."""
    return Reading([Message(role, text) for role, text in turns], WORDS)  # type: ignore[arg-type]


def test_the_last_thing_the_user_said_counts() -> None:
    """Whatever was said before it, and after it by others."""
    found = conversation(
        ("user", "Prove the theorem"), ("assistant", "Why?"), ("user", NOTHING), ("assistant", "x^2"), ("tool", "∫")
    )
    assert found.text == NOTHING
    assert set(measure(found)) == {*OF_SIZE, "multi_turn"}


def test_several_turns_are_several_of_the_users() -> None:
    """A single question with an answer under it is one."""
    assert "multi_turn" not in measure(conversation(("system", "x"), ("user", "x"), ("assistant", "y"), ("tool", "z")))
    assert measure(conversation(("user", "x"), ("assistant", "y"), ("user", "z")))["multi_turn"] == 1


@pytest.mark.parametrize("role", ["system", "developer"])
def test_house_rules_are_read_for_brevity_alone(role: str) -> None:
    """Words of difficulty in them are not the user's."""
    found = measure(conversation((role, "Answer briefly, only in one sentence. Prove everything."), ("user", NOTHING)))
    assert set(found) == {*OF_SIZE, "system", "system_brevity"}
    assert (found["system"], found["system_brevity"]) == (1, 3)
    assert measure(conversation((role, ""), ("user", NOTHING))) == measured(NOTHING)


def test_only_the_beginning_of_the_house_rules_is_read() -> None:
    """Four hundred characters of them; that there are any counts whatever they say."""
    found = measure(conversation(("system", f"{'x ' * 200}brief"), ("user", NOTHING)))
    assert "system_brevity" not in found
    assert found["system"] == 1


def test_without_anything_the_user_said() -> None:
    """No text is an empty one."""
    picture = Message("user", (ImagePart(ImageUrl("data:image/png;base64,AAAA")),))
    for messages in ((), (Message("system", "Why?"),), (Message("user", None),), (picture,), user("")):
        found = measure(Reading(messages, WORDS))
        assert set(found) - {"system"} == {"few_words", "very_few_words", "instruction_words"}


def test_parts_are_read_as_one_text() -> None:
    """Text parts, that is."""
    parts = (TextPart("Tell Anna"), ImagePart(ImageUrl("data:image/png;base64,AAAA")), TextPart("why"))
    assert measure(Reading((Message("user", parts),), WORDS)) == measured("Tell Anna\nwhy")


@given(st.text(max_size=400))
@settings(max_examples=300, deadline=None)
def test_measures_are_finite_and_of_similar_size(text: str) -> None:
    """For any text: positive, and none so large that it drowns the others."""
    assert all(0 < value <= max(15, len(text)) for value in measured(text).values())
    assert all(0 < value <= 15 for name, value in measured(text).items() if name != "word_length")
    assert reading(text).text == text
