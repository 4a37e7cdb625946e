"""Which of an engine's servers answers."""

from collections import Counter

import pytest

from gateway.backends.balance import DOUBT_S, Balancer, prefixes
from gateway.messages import Message
from gateway.types import Replica

A, B, C = "http://a", "http://b", "http://c"


def replica(url: str, requests: int | None = 0, *, ready: bool = True, wavering: bool = False) -> Replica:
    """A server."""
    return Replica(url=url, ready=ready, wavering=wavering, requests=requests)


def balancer(*replicas: Replica) -> Balancer:
    """One that has seen them."""
    made = Balancer()
    made.see(replicas)
    return made


def send(made: Balancer, *asked: int) -> str:
    """Where it goes, and it is under way."""
    url = made.choose(0.0, asked)
    assert url is not None
    made.sent(url)
    return url


def test_what_we_send_counts_at_once() -> None:
    """Between two scrapes everybody would go to the same server otherwise."""
    made = balancer(replica(A), replica(B), replica(C))
    assert Counter(send(made) for _ in range(9)) == {A: 3, B: 3, C: 3}


def test_what_others_send_counts_too_and_ours_only_once() -> None:
    """A server's own figure contains what we have sent it."""
    made = balancer(replica(A), replica(B))
    assert [send(made), send(made)] == [A, B]
    made.see((replica(A, 1), replica(B, 4)))
    assert [send(made) for _ in range(3)] == [A, A, A]
    made.over(A)
    assert made.choose(0.0) == A


def test_what_is_over_counts_no_more() -> None:
    """Three to each; the next goes where one was answered."""
    made = balancer(replica(A), replica(B))
    for _ in range(6):
        send(made)
    made.over(B)
    assert made.choose(0.0) == B


def test_a_prompt_goes_where_its_beginning_is() -> None:
    """A conversation's next turn, and else whoever shares what stands before it."""
    made = balancer(replica(A), replica(B))
    home = send(made, 11, 1)
    made.over(home)
    away = B if home == A else A
    assert made.choose(0.0, (22, 2)) is not None
    assert made.choose(0.0, (11, 1)) == home
    made.sent(away)
    assert made.choose(0.0, (12, 1)) == home


def test_not_where_there_is_more_than_its_share() -> None:
    """With bounded loads: up to a quarter more than the mean, rounded up."""
    made = balancer(replica(A), replica(B))
    assert [send(made, 7) for _ in range(4)] == [A, A, B, B]


def test_whose_checks_fail_is_asked_last_and_who_is_away_never() -> None:
    """A hiccup is no reason to send everybody away."""
    assert balancer(replica(A, wavering=True), replica(B, 9)).choose(0.0) == B
    assert balancer(replica(A, wavering=True), replica(B, ready=False)).choose(0.0) == A
    assert balancer(replica(A, ready=False), replica(B, ready=False)).choose(0.0) is None


def test_when_all_are_doubted_they_are_asked_all_the_same() -> None:
    """A request that each of them breaks off must not shut out the others; nobody is asked twice for it."""
    made = balancer(replica(A), replica(B))
    for url in (A, B):
        made.doubt(url, 10.0)
    first = made.choose(10.5)
    assert first is not None
    second = made.choose(10.5, (), {first})
    assert {first, second} == {A, B}
    assert made.choose(10.5, (), {A, B}) is None


def test_who_takes_no_connection_is_not_asked_until_it_was_looked_at() -> None:
    """A server that nobody scrapes is never seen otherwise than before: the doubt passes by itself."""
    made = balancer(replica(A), replica(B, 5))
    made.doubt(A, 10.0)
    assert made.choose(10.0 + DOUBT_S) == B
    assert made.choose(10.1 + DOUBT_S) == A


SYSTEM, FIRST = Message("system", "You are terse."), Message("user", "one")
TURNS = (SYSTEM, FIRST, Message("assistant", "1"), Message("user", "two"))


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (TURNS[:2], TURNS, 2),
        (TURNS, (SYSTEM, Message("user", "three")), 1),
        (TURNS[1:], (FIRST,), 1),
        (TURNS, (Message("system", "You are kind."), FIRST), 0),
        ((SYSTEM,), (SYSTEM,), 1),
    ],
    ids=["a later turn", "another chat of the application", "nothing before", "another application", "no user"],
)
def test_beginnings(one: tuple[Message, ...], other: tuple[Message, ...], shared: int) -> None:
    """How many of them two chats share; the longest stands first."""
    assert len({*prefixes(one)} & {*prefixes(other)}) == shared
    assert prefixes(one)[:1] == prefixes(other)[:1] or shared < 2
