"""Which backends give the vectors that a name stands for, and in which order: one table row per name."""

import pytest

from gateway.errors import Code, Reason, RequestError
from gateway.routing import RoutingTable
from gateway.types import TIERS, Tier, TokenCount
from gateway.vector_routing import givers, plan_vectors
from gateway.vectors import EmbeddingRequest
from tests.gateway.nouns import CONSTRAINTS, PRICE, SLA, SPEC, change

LIGHT, MID, PREMIUM = TIERS
TEXT = change(SPEC, name="writer", model="writer-1")
BOX = change(SPEC, name="box", model="mini.gguf", vectors="mini.gguf", on_box=True, context=512)
US = change(SPEC, name="us", model="large", vectors="large", region="us-east", price=PRICE)
EU = change(SPEC, name="eu", model="large", vectors="large", price=PRICE)
MEAN = change(SPEC, name="mean", model="any.gguf", vectors="any.gguf, pooled by mean")
LAST = change(SPEC, name="last", model="any.gguf", vectors="any.gguf, pooled by last")
ALIASES = {"small": "box", "big": "eu", "large": "box", "chat": "light", "robot": "writer", "*": "auto"}


def table(*specs: str, aliases: dict[str, str] | None = None) -> RoutingTable:
    """A table of these backends, the one for text in the light tier."""
    every = {spec.name: spec for spec in (TEXT, BOX, US, EU, MEAN, LAST)}
    return RoutingTable({name: every[name] for name in specs}, {LIGHT: ("writer",)}, aliases or {})


ALL = table("writer", "box", "us", "eu", "mean", "last", aliases={**ALIASES, "*": "last"})
ONE = table("writer", "us", "eu", aliases={"*": "auto"})
NONE = table("writer")


def asked(model: str, *inputs: str | tuple[int, ...]) -> EmbeddingRequest:
    """A request for the vectors of this model."""
    return EmbeddingRequest(id="r-1", created=0, requested_model=model, inputs=inputs or ("hi",))


FOUND: list[tuple[RoutingTable, str, tuple[str, ...]]] = [
    (ALL, "box", ("box",)),
    (ALL, "us", ("us", "eu")),
    (ALL, "eu", ("eu", "us")),
    (ALL, "small", ("box",)),
    (ALL, "big", ("eu", "us")),
    # An alias is the operator's word, and goes before the model's own name; that goes before any name at all.
    (ALL, "large", ("box",)),
    (ALL, "mini.gguf", ("box",)),
    (ALL, "unheard-of", ("last",)),
    # One file pooled in two ways gives two kinds of vectors.
    (ALL, "mean", ("mean",)),
    (ONE, "large", ("us", "eu")),
    (ONE, "auto", ("us", "eu")),
    (ONE, "unheard-of", ("us", "eu")),
]


@pytest.mark.parametrize(("among", "name", "found"), FOUND)
def test_a_name_stands_for_one_model(among: RoutingTable, name: str, found: tuple[str, ...]) -> None:
    """The backend that is named, and after it those whose vectors compare with its own."""
    assert givers(among, asked(name)) == found


REFUSED: list[tuple[RoutingTable, str, Code, str]] = [
    (ALL, "auto", Code.INVALID_VALUE, "any of box, us, eu, mean, last"),
    (ALL, "any.gguf", Code.INVALID_VALUE, "any of mean, last"),
    (ALL, "writer", Code.CAPABILITY_NO_ELIGIBLE_BACKEND, "runner: pooling"),
    (ALL, "light", Code.CAPABILITY_NO_ELIGIBLE_BACKEND, "runner: pooling"),
    (ALL, "chat", Code.CAPABILITY_NO_ELIGIBLE_BACKEND, "runner: pooling"),
    (ALL, "robot", Code.CAPABILITY_NO_ELIGIBLE_BACKEND, "embeddings: true"),
    (table("writer", "box", aliases={"small": "box"}), "gone", Code.MODEL_NOT_FOUND, "there are: box, small"),
    (NONE, "text-embedding-3-small", Code.MODEL_NOT_FOUND, "embeddings: true"),
    (NONE, "auto", Code.MODEL_NOT_FOUND, "runner: pooling"),
]


@pytest.mark.parametrize(("among", "name", "code", "words"), REFUSED)
def test_another_name_is_refused(among: RoutingTable, name: str, code: Code, words: str) -> None:
    """With what there is, or what would have to be written."""
    with pytest.raises(RequestError) as caught:
        givers(among, asked(name))
    assert (caught.value.code, caught.value.param) == (code, "model")
    assert words in caught.value.message


@pytest.mark.parametrize(("name", "good"), [("us", True), ("large", True), ("auto", False), ("unheard-of", False)])
def test_tokens_need_the_name_of_their_model(name: str, *, good: bool) -> None:
    """A client that cuts texts for the model it asks for must not be answered by another."""
    request = asked(name, "text", (1, 2))
    if good:
        assert givers(ONE, request) == ("us", "eu")
        return
    with pytest.raises(RequestError) as caught:
        givers(ONE, request)
    assert caught.value.param == "input"


def test_a_route_keeps_to_the_constraints() -> None:
    """Whatever class asks, nobody outside is a candidate, and the first one's reason is what shut out those before."""
    names, here = ("us", "eu", "box"), frozenset({"eu-west"})
    constraints = change(CONSTRAINTS, regions=here, tokens_needed=600, sla=change(SLA, max_tier=LIGHT))
    route = plan_vectors(ALL, names, constraints, TokenCount(10))
    assert [(each.backend, each.tier, each.reason, each.cost_nano) for each in route.candidates] == [
        ("eu", Tier.VECTORS, Reason.RESIDENCY, 10_000)
    ]
    assert [(each.backend, each.reason) for each in route.excluded] == [
        ("us", Reason.RESIDENCY),
        ("box", Reason.CONTEXT_LENGTH),
    ]


def test_text_is_not_asked_of_a_model_for_vectors() -> None:
    """Neither by its name nor by an alias, and any other request passes it by."""
    for name in ("box", "small"):
        with pytest.raises(RequestError) as caught:
            ALL.resolve(name)
        assert (caught.value.code, caught.value.param) == (Code.CAPABILITY_NO_ELIGIBLE_BACKEND, "model")
        assert "/v1/embeddings" in caught.value.message
