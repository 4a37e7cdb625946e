"""Which kind of work a request is, and where each kind starts."""

import pytest

from gateway.classify import DEFAULT_TASKS, TaskRule
from gateway.classify.lexicon import TASKS
from gateway.classify.tasks import detect
from gateway.messages import Hints, JsonSchema, ResponseFormat
from gateway.types import Tier
from tests.gateway.classify.readings import asked, classified, reading
from tests.gateway.nouns import change

ARTICLE = "The council met on Monday and again on Friday, in the old hall by the river. " * 9

DETECTED: list[tuple[str, str]] = [
    # A summary only where there is something to sum up.
    (f"Summarise this:\n\n{ARTICLE}", "summary"),
    (f"TL;DR\n\n{ARTICLE}", "summary"),
    (f"Bitte eine Zusammenfassung.\n\n{ARTICLE}", "summary"),
    ("Write a summary of the French Revolution", "writing"),
    ("Summarise the French Revolution", "other"),
    ("Translate good morning into French", "translation"),
    ("Wie sagt man das? Übersetze: der Hund", "translation"),
    ("How do you say dog in Spanish?", "translation"),
    ("Classify this review: it was fine", "classification"),
    ("Is the sentiment good or bad?", "classification"),
    (f"What's the invoice number?\n\n{ARTICLE}", "extraction"),
    (f"Extract all dates.\n\n{ARTICLE}", "extraction"),
    ("Sort these: pears, apples", "formatting"),
    ("Fix the typos: teh cat", "formatting"),
    ("Turn this into bullet points: a, b", "formatting"),
    ("Solve x + 2 = 5", "maths"),
    ("∫ x dx", "maths"),
    ("How much is 2 and 2", "maths"),
    ("Reverse a list in Python", "code"),
    ("for (;;) { f(); }\n}\n", "code"),
    ("Why?\n```\nx\n```", "code"),
    ("Draft a note to the landlord", "writing"),
    ("Compare cats and dogs", "analysis"),
    ("What is the capital of France?", "faq"),
    ("who's the king of Spain?", "faq"),
    ("hello", "chat"),
    ("Hi, how are you today?", "chat"),
    ("thanks a lot!", "chat"),
    ("", "other"),
    ("🙂", "other"),
    ("Tell Anna about our garden", "other"),
]

OF_FORM: list[tuple[str, str]] = [
    # A frequent question is short, of one line, begins like one and ends like one.
    ("What is the capital of France", "other"),
    ("Tell me: what is the capital of France?", "other"),
    (f"What is the capital of {'old ' * 40}France?", "other"),
    ("What is the capital\nof France?", "other"),
    ("  What is the capital of France?  ", "faq"),
    # A greeting is nothing but one.
    ("hello there, I wanted to tell you about our garden", "other"),
]

SEVERAL: list[tuple[str, str]] = [
    ("Translate this sentiment into French", "translation"),
    ("Write a Python function", "code"),
    ("Write an analysis of cats", "writing"),
    (f"Summarise and translate:\n\n{ARTICLE}", "summary"),
]


@pytest.mark.parametrize(("text", "task"), DETECTED + OF_FORM)
def test_what_is_detected(text: str, task: str) -> None:
    """By the words of the instruction, then by maths and code, then by its form."""
    assert detect(asked(text), reading(text)) == task


@pytest.mark.parametrize(("text", "task"), SEVERAL)
def test_of_several_kinds_the_first_in_the_order_of_the_house_counts(text: str, task: str) -> None:
    """So that it is the same each time."""
    found = [group for group in TASKS if group in reading(text).groups]
    assert len(found) > 1
    assert detect(asked(text), reading(text)) == task


def test_every_kind_is_detected_somewhere_above() -> None:
    """Except those that are told by a field and not by the text."""
    assert {task for _, task in DETECTED} == set(DEFAULT_TASKS) - {"structured", "reasoning"}
    assert {group.removeprefix("task:") for group in TASKS} <= set(DEFAULT_TASKS)


@pytest.mark.parametrize(
    ("asked_for", "task"),
    [
        (ResponseFormat("json_object"), "structured"),
        (ResponseFormat("json_schema", JsonSchema("s", {})), "structured"),
        (ResponseFormat("text"), "faq"),
        (None, "faq"),
    ],
)
def test_structure_is_told_by_the_format(asked_for: ResponseFormat | None, task: str) -> None:
    """Whatever the text says; and plain text is no structure."""
    request = change(asked("What is the capital of France?"), response_format=asked_for)
    assert classified(request).task == task


def test_a_hint_overrules_what_would_be_detected() -> None:
    """The caller knows best, and the record says that it was them."""
    request = change(asked("hello", Hints(task="analysis")), response_format=ResponseFormat("json_object"))
    found = classified(request)
    assert (found.task, found.task_source) == ("analysis", "hint")
    assert (found.start, found.expected_output) == (None, 600)


def test_a_kind_that_nobody_knows_has_no_rule() -> None:
    """It is passed on as it was said; complexity alone decides."""
    found = classified(asked("hello", Hints(task="haiku-review")))
    assert (found.task, found.task_source, found.start) == ("haiku-review", "hint", None)


def test_what_is_detected_says_so() -> None:
    """An empty hint is none."""
    for hints in (Hints(), Hints(task="")):
        found = classified(asked("hello", hints))
        assert (found.task, found.task_source) == ("chat", "detected")


def test_the_operators_table_is_the_table() -> None:
    """Its rows alone count: a kind without one has no start."""
    tasks = {"faq": TaskRule(Tier.PREMIUM, 7)}
    found = classified(asked("What is the capital of France?"), tasks)
    assert (found.task, found.start, found.expected_output) == ("faq", Tier.PREMIUM, 7)
    assert classified(asked("hello"), tasks).start is None


STARTS: list[tuple[Tier | None, set[str]]] = [
    (Tier.LIGHT, {"faq", "chat", "formatting", "extraction", "classification"}),
    (Tier.MID, {"summary", "structured"}),
    (Tier.PREMIUM, {"reasoning"}),
    (None, {"translation", "writing", "code", "maths", "analysis", "other"}),
]


@pytest.mark.parametrize(("tier", "tasks"), STARTS)
def test_where_work_starts_by_default(tier: Tier | None, tasks: set[str]) -> None:
    """Questions, forms and simple look-ups on the box, summaries and structure in the middle, reasoning at the top."""
    assert {task for task, rule in DEFAULT_TASKS.items() if rule.start is tier} == tasks


def test_the_operator_decides_what_requires_reasoning() -> None:
    """Who says that a request requires reasoning has it start where the table's row for that says, or nowhere."""
    request = asked("hello", Hints(requires_reasoning=True))
    found = classified(request)
    assert (found.task, found.start, found.expected_output) == ("chat", Tier.PREMIUM, 900)
    other = classified(request, {"chat": TaskRule(Tier.LIGHT, 40)})
    assert (other.task, other.start) == ("chat", None)


@pytest.mark.parametrize("said", [False, None])
def test_without_reasoning_the_task_decides(*, said: bool | None) -> None:
    """That it requires none is no work of its own."""
    assert classified(asked("hello", Hints(requires_reasoning=said))).start is Tier.LIGHT
