"""Conversations, and what the classifier reads in them."""

from collections.abc import Mapping

from gateway.classify import DEFAULT_TASKS, Classifier, Difficulty, TaskRule
from gateway.classify.lexicon import DIFFICULTY, TASKS, Lexicon
from gateway.classify.measures import Reading, measure
from gateway.messages import ChatRequest, Hints, Message
from gateway.tokens import estimate_prompt
from gateway.types import Classification
from tests.gateway.nouns import REQUEST, change

WORDS = Lexicon(DIFFICULTY | TASKS)
SHIPPED = Difficulty.shipped()
SHIPPED_CLASSIFIER = Classifier(SHIPPED, DEFAULT_TASKS)


def user(text: str) -> tuple[Message, ...]:
    """One question."""
    return (Message("user", text),)


def reading(text: str) -> Reading:
    """What is read in one question."""
    return Reading(user(text), WORDS)


def measured(text: str) -> dict[str, float]:
    """The measures of one question."""
    return measure(reading(text))


def asked(text: str, hints: Hints | None = None) -> ChatRequest:
    """A request of one question."""
    return change(REQUEST, messages=user(text), hints=hints or Hints())


def classified(request: ChatRequest, tasks: Mapping[str, TaskRule] = DEFAULT_TASKS) -> Classification:
    """What the shipped model makes of a request."""
    classifier = SHIPPED_CLASSIFIER if tasks is DEFAULT_TASKS else Classifier(SHIPPED, tasks)
    return classifier.classify(request, estimate_prompt(request))
