"""From a call to the body of one backend, in the form that this backend takes."""

from typing import Any

import pytest

from gateway.backends.profile import PLAIN, Profile
from gateway.backends.requests import ignored_fields, sent, upstream_body
from gateway.messages import Sampling
from gateway.ports import Call
from gateway.types import Priority
from tests.gateway.nouns import REQUEST, SPEC, change

ASKED = change(REQUEST, sampling=Sampling(temperature=0.5, max_tokens=100, n=2, seed=7), reasoning_effort="low")
CALL = Call(request=ASKED, deadline=0.0, max_tokens=100, top_logprobs=None)

SHAPES: list[tuple[Profile, dict[str, Any], dict[str, Any]]] = [
    (PLAIN, {"a": 1}, {"a": 1}),
    (Profile(rename={"a": "b"}, drop=frozenset(), defaults={}), {"a": 1}, {"b": 1}),
    (Profile(rename={"a": "b"}, drop=frozenset(), defaults={}), {"c": 1}, {"c": 1}),
    (Profile(rename={"a": "b"}, drop=frozenset(), defaults={}), {"a": 1, "b": 2}, {"b": 1}),
    (Profile(rename={}, drop=frozenset({"a"}), defaults={}), {"a": 1, "c": 1}, {"c": 1}),
    (Profile(rename={}, drop=frozenset(), defaults={"a": 9}), {}, {"a": 9}),
    (Profile(rename={}, drop=frozenset(), defaults={"a": 9}), {"a": 1}, {"a": 1}),
    (Profile(rename={}, drop=frozenset({"a"}), defaults={"a": 9}), {"a": 1}, {"a": 9}),
    (Profile(rename={"a": "b"}, drop=frozenset({"a"}), defaults={"a": 9}), {"a": 1}, {"b": 9}),
    (Profile(rename={"a": "b"}, drop=frozenset({"b"}), defaults={}), {"a": 1}, {"b": 1}),
]


@pytest.mark.parametrize(("profile", "body", "shaped"), SHAPES)
def test_a_body_is_shaped_in_order(profile: Profile, body: dict[str, Any], shaped: dict[str, Any]) -> None:
    """Drop, then defaults, then rename; the body that was given stays as it was."""
    before = dict(body)
    assert profile.shape(body) == shaped
    assert body == before


def test_a_profile_is_not_changed_by_its_use() -> None:
    """It is shared by all requests of a backend."""
    profile = Profile(rename={"a": "b"}, drop=frozenset(), defaults={"a": 9})
    assert profile.shape({}) == profile.shape({}) == {"b": 9}


@pytest.mark.parametrize(("limit", "sent"), [(None, 100), (30, 30), (5000, 5000)])
def test_the_limit_of_the_attempt_is_sent(limit: int | None, sent: int) -> None:
    """Where the attempt has none, the caller's own stands."""
    assert upstream_body(change(CALL, max_tokens=limit), "m", PLAIN, stream=False)["max_tokens"] == sent


def test_the_body_is_the_callers_request_in_the_backends_form() -> None:
    """Model name, messages, sampling, what the gateway needs to see; renamed, dropped, completed."""
    profile = Profile(
        rename={"max_tokens": "max_completion_tokens"}, drop=frozenset({"temperature", "n"}), defaults={"store": False}
    )
    assert upstream_body(change(CALL, top_logprobs=1), "their-model", profile, stream=True) == {
        "store": False,
        "model": "their-model",
        "messages": REQUEST.messages,
        "max_completion_tokens": 100,
        "seed": 7,
        "reasoning_effort": "low",
        "logprobs": True,
        "top_logprobs": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("priority", "said"), [(Priority.INTERACTIVE, -1), (Priority.NORMAL, None), (Priority.BATCH, 1)]
)
@pytest.mark.parametrize("prompt", [None, "Once"])
def test_only_engines_that_go_by_it_are_sent_a_priority(
    priority: Priority, said: int | None, prompt: str | None
) -> None:
    """In their words lower goes first and nothing said is 0; chats and raw prompts alike, and never a provider."""
    call = change(CALL, priority=priority, request=change(ASKED, prompt=prompt))
    ours = change(PLAIN, prioritised=True)
    spec = change(SPEC, completions=True)
    assert sent(call, spec, "m", ours, stream=False).body.get("priority") == said
    assert "priority" not in sent(call, spec, "m", PLAIN, stream=False).body
    assert "priority" not in sent(call, spec, "m", change(ours, drop=frozenset({"priority"})), stream=False).body


@pytest.mark.parametrize(
    ("dropped", "ignored"),
    [
        (set(), ()),
        ({"temperature"}, ("temperature",)),
        ({"temperature", "n", "seed"}, ("n", "seed", "temperature")),
        ({"top_p"}, ()),
        ({"reasoning_effort"}, ("reasoning_effort",)),
        ({"logprobs", "store"}, ()),
    ],
)
def test_what_the_caller_set_and_the_backend_refuses_is_said(dropped: set[str], ignored: tuple[str, ...]) -> None:
    """Only what was really asked: a field that was not set is not missed."""
    profile = Profile(rename={}, drop=frozenset(dropped), defaults={})
    assert ignored_fields(ASKED, profile) == ignored
    assert ignored_fields(REQUEST, profile) == ()
