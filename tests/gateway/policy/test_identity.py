"""An API key becomes its holder's identity, or a 401 that tells nothing."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.policy import Identities
from gateway.types import Identity
from tests.gateway.nouns import IDENTITY, change

KEYS = ("fb-alpha-0123456789abcdef", "fb-alpha-0123456789abcdeg", "fb-alpha", "x")
"""Some share a beginning, or are one."""


def digest(key: str) -> str:
    """What the configuration holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def holder(key: str) -> Identity:
    """Whoever has `key`."""
    return change(IDENTITY, key=f"of {key}")


def known(keys: tuple[str, ...] = KEYS) -> Identities:
    """A gateway that knows these keys."""
    return Identities({digest(key): holder(key) for key in keys}, None)


def refusal(identities: Identities, key: str | None) -> RequestError:
    """Why `key` is not let in."""
    with pytest.raises(RequestError) as caught:
        identities.find(key)
    return caught.value


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_its_holder(key: str) -> None:
    """Keys that share a beginning are different keys."""
    assert known().find(key) == holder(key)


@pytest.mark.parametrize(
    "key",
    [
        "fb-alpha-0123456789abcde",
        "fb-alpha-0123456789abcdeF",
        "fb-alpha-0123456789abcdef ",
        "fb-alpha-0123456789abcdef\x00",
        "FB-ALPHA",
        digest("fb-alpha"),
        "sha256:" + digest("fb-alpha"),
        "\x00",
        "é\udcff",
        "k" * 1_000_000,
    ],
)
def test_an_unknown_key_is_refused_and_not_repeated(key: str) -> None:
    """Longer, shorter, in other letters, its own hash, odd bytes, a megabyte."""
    error = refusal(known(), key)
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert key not in error.message
    assert len(error.message) < 100


@pytest.mark.parametrize("key", [None, ""])
def test_no_key_is_told_how_to_send_one(key: str | None) -> None:
    """Where keys are needed, nobody is let in without."""
    error = refusal(known(), key)
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert "Authorization: Bearer" in error.message


@pytest.mark.parametrize("key", [None, "", "anything", *KEYS])
def test_where_no_keys_are_needed_everybody_is_the_same(key: str | None) -> None:
    """A key that was sent all the same changes nothing."""
    assert Identities({}, IDENTITY).find(key) is IDENTITY


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1, unique=True),
    st.text(max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_only_the_whole_key_opens(keys: list[str], asked: str) -> None:
    """Whatever the keys are: each opens its own, and no other text opens any."""
    identities = known(tuple(keys))
    assert all(identities.find(key) == holder(key) for key in keys)
    if asked not in keys:
        assert refusal(identities, asked).status == 401


class Unequal(str):
    """A digest that cannot be compared character by character: `==` on it fails the test."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Not allowed: how long it takes tells how much was right."""
        raise AssertionError("a digest was compared with ==")

    __hash__ = str.__hash__


def test_hashes_that_begin_alike_are_told_apart() -> None:
    """The first characters only find the candidates; the whole of the hash decides."""
    wanted = digest("fb-alpha")
    others = {wanted[:8] + "0" * 56: holder("a"), wanted[:63] + "x": holder("b")}
    assert refusal(Identities(others, None), "fb-alpha").status == 401
    assert Identities({**others, wanted: IDENTITY}, None).find("fb-alpha") is IDENTITY


def test_digests_are_compared_in_constant_time() -> None:
    """A whole digest is never compared by `==`, which stops at the first difference."""
    identities = Identities({Unequal(digest("fb-alpha")): IDENTITY}, None)
    assert identities.find("fb-alpha") is IDENTITY
    assert refusal(identities, "fb-beta").status == 401
