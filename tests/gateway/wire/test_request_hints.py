"""Hints beside the prompt: from headers and from metadata, and never from anywhere else."""

from typing import Any

import pytest

from gateway.messages import Hints
from tests.gateway.wire.bodies import parsed, refused

VALUES: list[tuple[str, str, Any]] = [
    ("task", "faq", "faq"),
    ("task", "Task-1.b_2", "Task-1.b_2"),
    ("requires_reasoning", "true", True),
    ("requires_reasoning", "false", False),
    ("requires_reasoning", "1", True),
    ("region", "eu-west", "eu-west"),
    ("session", "s 1 / ü", "s 1 / ü"),
    ("local_only", "true", True),
    ("local_only", "True", True),
    ("local_only", "false", False),
    ("no_escalation", "true", True),
    ("allow_fallback", "true", True),
]
"""Hint, as text, as it arrives."""

BAD: list[tuple[str, Any]] = [
    ("task", "two words"),
    ("task", ""),
    ("task", "t" * 65),
    ("task", "a\r\nb"),
    ("region", "eu west"),
    ("region", ""),
    ("session", "s" * 257),
    ("requires_reasoning", "very"),
    ("requires_reasoning", ""),
    ("local_only", "yes"),
    ("no_escalation", "2"),
    ("allow_fallback", "tru"),
]


@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_a_hint_arrives_from_a_header_and_from_metadata(name: str, text: str, value: Any) -> None:
    """Both are text, so text that spells a value will do for it; the meaning is the same."""
    from_header = parsed({}, {name.replace("_", "-"): text})
    from_metadata = parsed({"metadata": {name: text}})
    assert getattr(from_header.hints, name) == getattr(from_metadata.hints, name) == value
    assert from_header.hints == from_metadata.hints
    assert from_header.ignored == from_metadata.ignored == ()


@pytest.mark.parametrize("name", ["requires_reasoning", "local_only", "no_escalation", "allow_fallback"])
@pytest.mark.parametrize("value", [True, False])
def test_metadata_may_hold_real_booleans(name: str, value: bool) -> None:  # noqa: FBT001 - the values of the table
    """Clients that send JSON's own true and false are understood as well."""
    assert getattr(parsed({"metadata": {name: value}}).hints, name) is value


def test_every_hint_is_in_the_table() -> None:
    """A hint that nobody tested would show here."""
    assert {name for name, _, _ in VALUES} == {name for name, _ in BAD} == set(Hints.__struct_fields__)


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_hint_is_refused_where_it_stands(name: str, text: str) -> None:
    """A hint that cannot be followed is never taken for its absence: it might have been meant to narrow."""
    header = refused({}, {name.replace("_", "-"): text})
    assert (header.status, header.param) == (400, f"x-forebay-{name.replace('_', '-')}")
    metadata = refused({"metadata": {name: text}})
    assert (metadata.status, metadata.param) == (400, f"metadata.{name}")


@pytest.mark.parametrize("value", [{}, [], ["faq"], {"a": 1}, 1.5])
@pytest.mark.parametrize("name", list(Hints.__struct_fields__))
def test_a_hint_of_another_type_is_refused(name: str, value: Any) -> None:
    """Structures and fractions are no hints."""
    assert refused({"metadata": {name: value}}).param == f"metadata.{name}"


def test_a_header_wins_over_metadata() -> None:
    """Headers may come from a proxy that knows better than the program behind it; the rest of metadata still counts."""
    request = parsed({"metadata": {"task": "summary", "region": "eu"}}, {"task": "faq", "session": "s"})
    assert request.hints == Hints(task="faq", region="eu", session="s")


def test_a_header_that_wins_is_the_one_that_is_blamed() -> None:
    """The metadata of the same name is not looked at, good or bad."""
    assert refused({"metadata": {"task": "faq"}}, {"task": "no good"}).param == "x-forebay-task"
    assert parsed({"metadata": {"task": "no good"}}, {"task": "faq"}).hints.task == "faq"


def test_null_is_no_hint() -> None:
    """Metadata that says null says nothing."""
    assert parsed({"metadata": dict.fromkeys(Hints.__struct_fields__)}).hints == Hints()


def test_unknown_headers_and_metadata_are_no_hints() -> None:
    """Other headers of ours are answers' and not hints; other metadata is the caller's and is named as dropped."""
    request = parsed({"metadata": {"user_id": "7", "Task": "faq"}}, {"tier": "premium", "cost-usd": "0"})
    assert request.hints == Hints()
    assert request.ignored == ("metadata.Task", "metadata.user_id")


def test_a_body_field_is_no_hint() -> None:
    """The words mean something in metadata and in headers; in the body they are unknown fields."""
    request = parsed({"task": "faq", "local_only": False})
    assert request.hints == Hints()
    assert request.ignored == ("local_only", "task")
