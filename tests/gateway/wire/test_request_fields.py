"""Every field that a caller may send arrives, and every other one is dropped by name or refused."""

from typing import Any

import msgspec
import pytest

from gateway.messages import ChatRequest, Message
from gateway.wire.fields import REPLACED_FIELDS, UNSAFE_FIELDS
from gateway.wire.openai_request import ChatBody
from tests.gateway.wire.bodies import parsed, refused
from tests.gateway.wire.request_fields import FIELDS, MESSAGES

UNSET: list[tuple[str, Any]] = [
    ("sampling.temperature", None),
    ("sampling.max_tokens", None),
    ("sampling.n", 1),
    ("sampling.stop", ()),
    ("sampling.logit_bias", None),
    ("tools", ()),
    ("tool_choice", None),
    ("response_format", None),
    ("logprobs", False),
    ("top_logprobs", 0),
    ("stream", False),
    ("include_usage", False),
    ("user", None),
    ("ignored", ()),
    ("hints.local_only", False),
    ("hints.task", None),
]


def at(noun: object, path: str) -> Any:
    """The value at a dotted path."""
    for name in path.split("."):
        noun = getattr(noun, name)
    return noun


def timeless(request: ChatRequest) -> ChatRequest:
    """The same request, whenever it was made."""
    return msgspec.structs.replace(request, created=0)


@pytest.mark.parametrize(("fields", "path", "value"), FIELDS, ids=str)
def test_every_accepted_field_arrives(fields: dict[str, Any], path: str, value: Any) -> None:
    """What the API's reference lets callers send is what the corridor works with."""
    assert at(parsed(fields), path) == value


def test_the_table_above_has_every_accepted_field() -> None:
    """A field that is taken in and goes nowhere would show here."""
    assert {name for fields, _, _ in FIELDS for name in fields} == set(ChatBody.__struct_fields__)


@pytest.mark.parametrize("name", [name for name in ChatBody.__struct_fields__ if name not in ("model", "messages")])
def test_null_is_the_same_as_absent(name: str) -> None:
    """Clients send null for what was not set; the request is the one without the field."""
    assert timeless(parsed({name: None})) == timeless(parsed({}))


@pytest.mark.parametrize(("path", "value"), UNSET)
def test_what_is_not_asked_for_is_not_asked_for(path: str, value: Any) -> None:
    """A field that is absent leaves the choice to the backend, and adds no feature."""
    assert at(parsed({}), path) == value


@pytest.mark.parametrize(("message", "expected"), MESSAGES, ids=str)
def test_every_kind_of_turn_arrives(message: dict[str, Any], expected: Message) -> None:
    """Roles, parts, images, tool calls and their results are read as they were sent."""
    assert parsed({"messages": [message]}).messages == (expected,)


def test_a_request_has_its_id_and_time() -> None:
    """The id is the edge's, and the time of creation is a Unix second."""
    request = parsed({})
    assert request.id == "id-1"
    assert request.created > 1_700_000_000


@pytest.mark.parametrize("name", sorted(UNSAFE_FIELDS | {"guided_json", "guided_regex", "guided_", "guided_choice"}))
@pytest.mark.parametrize("value", [None, "x"])
def test_unsafe_fields_are_refused(name: str, value: str | None) -> None:
    """What redirects a call or reaches into an engine is a 400 that names it, whatever its value."""
    error = refused({name: value})
    assert (error.status, error.code, error.param) == (400, "unsafe_field", name)
    assert name in error.message


@pytest.mark.parametrize(("old", "new"), list(REPLACED_FIELDS))
def test_replaced_fields_are_refused_with_their_successor(old: str, new: str) -> None:
    """Dropping them would change the meaning in silence."""
    error = refused({old: []})
    assert (error.status, error.param) == (400, old)
    assert new in error.message


def test_unknown_fields_are_dropped_by_name() -> None:
    """They are no error, they go nowhere, and the caller is told which they were, each once and in order."""
    message = {"role": "user", "content": "hi", "cache_control": {}, "audio": 1}
    request = parsed({"zeta": 1, "store": True, "metadata": {"customer": "x"}, "messages": [message, message]})
    assert request.ignored == ("messages[].audio", "messages[].cache_control", "metadata.customer", "store", "zeta")
    plain = parsed({"messages": [{"role": "user", "content": "hi"}] * 2})
    assert msgspec.structs.replace(timeless(request), ignored=()) == timeless(plain)


@pytest.mark.parametrize("name", ["a\r\nset-cookie: b", "é", "a b", "\x00", "a" * 10_000, ",", '"', "\u2028"])
def test_names_of_dropped_fields_are_fit_for_a_header(name: str) -> None:
    """They go into `x-forebay-ignored`: a name with a line end in it must not become a header of its own."""
    (shown,) = parsed({name: 1}).ignored
    assert len(shown) <= 64
    assert shown.isascii()
    assert not set(shown) & set('\r\n\x00, "')


def test_of_many_dropped_fields_only_some_are_named() -> None:
    """A body of a million fields does not make a header of a million names."""
    ignored = parsed({f"field_{number:06}": 1 for number in range(10_000)}).ignored
    assert ignored[:2] == ("field_000000", "field_000001")
    assert len(ignored) == 21
    assert ignored[-1] == "and 9980 more"
