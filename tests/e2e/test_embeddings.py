"""Vectors through the gateway: what the official client gets, where texts may go, and what it costs."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import httpx
import openai
import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import key_of
from tests.e2e.stack import Stack
from tests.faults.behaviours import Raw, Says, Status
from tests.faults.handle import FaultServer
from tests.faults.vectors import vector

TEXTS = ["A cat sits on the mat.", "The kitten is lying on a rug.", "Interest rates rose again in March."]


def embed(stack: Stack, tenant: str = "globex", headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    """One request, as bytes."""
    return stack.http.post(
        f"{stack.base_url}/embeddings", json={"input": "hi", **body}, headers={**key_of(tenant), **(headers or {})}
    )


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """How alike two vectors are."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def told(raw: Any) -> Told:
    """What the client was told, which uses an HTTP library of its own."""
    return Told.whole(httpx.Response(raw.http_response.status_code, headers=raw.headers, text=raw.text))


def means_the_same(found: Sequence[Sequence[float]]) -> bool:
    """The two texts about cats are closer to each other than to the one about money."""
    return cosine(found[0], found[1]) > max(cosine(found[0], found[2]), cosine(found[1], found[2]))


@pytest.mark.parametrize(("model", "width"), [("minilm", 384), ("text-embedding-3-small", 384), ("pooled", 576)])
def test_the_official_client_gets_vectors_of_the_box(
    vectors: Stack, faults: FaultServer, model: str, width: int
) -> None:
    """By name or alias, packed as the client asks by itself; the engine counted the tokens, nothing left the box."""
    with vectors.openai("key-of-vault") as client:
        raw = client.embeddings.with_raw_response.create(model=model, input=TEXTS)
    answer = raw.parse()
    found = [each.embedding for each in answer.data]
    assert [(each.index, len(each.embedding)) for each in answer.data] == [(0, width), (1, width), (2, width)]
    assert all(math.hypot(*each) == pytest.approx(1, abs=1e-5) for each in found)
    assert means_the_same(found) or model == "pooled"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 15
    backend = "pooled" if model == "pooled" else "minilm"
    assert (raw.headers["x-forebay-tier"], raw.headers["x-forebay-backend"]) == ("vectors", backend)
    row = agree(told(raw), vectors.books, raw.headers["x-request-id"])
    assert (row["task"], row["served_by"], row["cost_nano_usd"], row["usage_quality"]) == (
        "embeddings",
        backend,
        0,
        "exact",
    )
    assert faults.calls() == ()


def test_every_form_of_input_and_answer_is_the_same_vector(vectors: Stack) -> None:
    """A text alone or in a list, as numbers or packed, and in company of longer ones."""
    with vectors.openai("key-of-globex") as client:
        packed = client.embeddings.create(model="minilm", input=TEXTS[0]).data[0].embedding
        plain = client.embeddings.create(model="minilm", input=[TEXTS[0]], encoding_format="float").data[0].embedding
        company = client.embeddings.create(model="minilm", input=[TEXTS[0], TEXTS[2] * 20]).data[0].embedding
    assert packed == pytest.approx(plain, abs=1e-7)
    assert cosine(packed, company) == pytest.approx(1, abs=1e-4)


def test_tokens_are_taken_for_the_model_they_are_of(vectors: Stack) -> None:
    """By the backend's name they are its own; by another model's they would be other words, so they are refused."""
    one = embed(vectors, model="minilm", input=[101, 7592, 102]).json()
    two = embed(vectors, model="minilm", input=[[101, 7592, 102], [101, 102]]).json()
    assert one["data"][0]["embedding"] == pytest.approx(two["data"][0]["embedding"], abs=1e-6)
    assert one["usage"]["prompt_tokens"] == 3
    refused = embed(vectors, model="text-embedding-3-small", input=[101, 7592, 102])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_the_clouds_vectors_stand_at_their_texts(
    vectors: Stack, faults: FaultServer, encoding: Literal["float", "base64"]
) -> None:
    """Whatever order they come in; and only what belongs to the API is sent on."""
    with vectors.openai("key-of-globex") as client:
        answer = client.embeddings.create(
            model="embed-large",
            input=TEXTS,
            encoding_format=encoding,
            dimensions=16,
            user="u-1",
            extra_headers={"x-forebay-session": "s-1"},
            extra_body={"metadata": {"session": "s-1"}, "store": True},
        )
    found = [each.embedding for each in answer.data]
    if encoding == "float":
        assert found == [vector(text, 16) for text in TEXTS]
    (call,) = faults.settled()
    assert call.headers.keys().isdisjoint({"x-forebay-session", "authorization"})
    assert httpx.Response(200, text=call.body).json() == {
        "model": "embed-large",
        "input": TEXTS,
        "encoding_format": encoding,
        "dimensions": 16,
        "user": "u-1",
    }


@pytest.mark.parametrize(
    ("model", "tenant", "region", "whom"),
    [
        ("cloud-us", "globex", "us-east", ("cloud-us", "pinned")),
        ("cloud-eu", "globex", "eu-west", ("cloud-eu", "pinned")),
        ("embed-large", "globex", "us-east", ("cloud-us", "pinned")),
        ("cloud-us", "acme", "eu-west", ("cloud-eu", "residency")),
        ("text-embedding-ada-002", "acme", "eu-west", ("cloud-eu", "residency")),
        ("cloud-us", "globex", "eu-west", ("cloud-eu", "residency")),
    ],
)
def test_texts_go_where_they_may(
    vectors: Stack, faults: FaultServer, model: str, tenant: str, region: str, whom: tuple[str, str]
) -> None:
    """To the same model in an allowed region; headers, ledger and invoice agree to the nano-dollar."""
    answer = embed(vectors, tenant, {"x-forebay-region": region}, model=model, input=TEXTS)
    assert (answer.headers["x-forebay-backend"], answer.headers["x-forebay-reason"]) == whom
    row = agree(Told.whole(answer), vectors.books, answer.headers["x-request-id"], faults.settled())
    assert (row["tenant"], row["sla_class"], row["prompt_tokens"]) == (tenant, "free", 19)
    assert row["cost_nano_usd"] == 19 * 131


REFUSED: list[tuple[str, dict[str, Any], tuple[str, str | None, str]]] = [
    ("acme", {"model": "other"}, ("403 residency_no_eligible_backend", None, "regions")),
    ("vault", {"model": "cloud-eu"}, ("403 residency_no_eligible_backend", None, "this box")),
    ("globex", {"model": "mini"}, ("400 capability_no_eligible_backend", "model", "runner: pooling")),
    ("globex", {"model": "mid"}, ("400 capability_no_eligible_backend", "model", "embeddings: true")),
    ("globex", {"model": "auto"}, ("400 invalid_value", "model", "minilm, pooled")),
    ("globex", {"model": "nothing-here"}, ("404 model_not_found", "model", "minilm, pooled, cloud-us")),
    ("globex", {"model": "minilm", "input": "word " * 2_000}, ("400 context_length_exceeded", "input", "tokens")),
    ("globex", {"model": "minilm", "input": [5] * 513}, ("400 context_length_exceeded", "input", "513")),
    ("globex", {"model": "minilm", "input": ["a", ""]}, ("400 invalid_value", "input[1]", "empty")),
    ("globex", {"model": "minilm", "input": [1, "a"]}, ("400 invalid_value", "input", "mixes")),
    ("globex", {"model": "minilm", "input": ["a"] * 2_049}, ("400 invalid_value", "input", "2,048")),
    ("globex", {"model": "minilm", "dimensions": 100}, ("400 request_refused", "dimensions", "refuses")),
    ("globex", {"model": "minilm", "api_base": "http://x"}, ("400 unsafe_field", "api_base", "remove")),
]


@pytest.mark.parametrize(("tenant", "body", "why"), REFUSED)
def test_what_cannot_be_had_is_refused_with_what_would_mend_it(
    vectors: Stack, faults: FaultServer, tenant: str, body: dict[str, Any], why: tuple[str, str | None, str]
) -> None:
    """In OpenAI's shape, and nobody is asked instead."""
    answer = embed(vectors, tenant, **body)
    error = answer.json()["error"]
    assert (f"{answer.status_code} {error['code']}", error["param"]) == why[:2]
    assert why[2] in error["message"]
    assert faults.calls() == ()


def test_a_model_for_vectors_writes_no_text(vectors: Stack) -> None:
    """The chat route says where it is to be asked."""
    answer = vectors.chat("minilm", headers=key_of("globex"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "/v1/embeddings" in answer.json()["error"]["message"]


def test_no_key_no_vectors(vectors: Stack) -> None:
    """As on every route."""
    with vectors.openai("key-of-nobody") as client, pytest.raises(openai.AuthenticationError):
        client.embeddings.create(model="minilm", input="hi")


def test_the_same_model_elsewhere_follows_and_no_other(vectors: Stack, faults: FaultServer) -> None:
    """Both regions of it are asked, and then the caller is told."""
    faults.next("embed-large", Status(status=500), Says())
    answer = embed(vectors, model="cloud-us")
    assert (answer.headers["x-forebay-backend"], answer.headers["x-forebay-reason"]) == ("cloud-eu", "upstream_error")
    agree(Told.whole(answer), vectors.books, answer.headers["x-request-id"], faults.settled())
    faults.reset()
    faults.next("embed-large", Status(status=500), Status(status=500))
    failed = embed(vectors, model="cloud-us")
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "upstream_error")
    assert [call.model for call in faults.settled()] == ["embed-large"] * 2


def test_a_width_that_was_not_asked_for_is_no_answer(vectors: Stack, faults: FaultServer) -> None:
    """A backend that takes `dimensions` and does nothing about it: its vectors would not fit where they are stored."""
    assert embed(vectors, model="other", dimensions=4, input="x").status_code == 200
    faults.reset()
    body = '{"data": [{"embedding": [1, 2, 3]}], "model": "m", "usage": {"prompt_tokens": 1}}'
    faults.next("embed-other", Raw(body=body))
    answer = embed(vectors, model="other", dimensions=4, input="x")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "dimensions")
    assert vectors.books.request(answer.headers["x-request-id"])["cost_nano_usd"] > 0


def test_they_are_counted_and_logged_like_any_request(vectors: Stack) -> None:
    """In the metrics by task, in the log by a line; the rates of text are left alone."""
    labels = {"task": "embeddings", "tier": "vectors", "status": "ok"}
    before = vectors.metric("forebay_requests_total", **labels)
    rate = vectors.metric("forebay_blended_cost_usd")
    answer = embed(vectors, model="other", input="to be billed")
    assert vectors.metric("forebay_requests_total", **labels) == before + 1
    assert vectors.metric("forebay_blended_cost_usd") == rate
    line = vectors.logged(answer.headers["x-request-id"])
    assert (line["task"], line["backend"], line["prompt_tokens"], line["tenant"]) == (
        "embeddings",
        "other",
        3,
        "globex",
    )
    assert "to be billed" not in str(line)


def test_the_list_of_models_says_what_gives_vectors(vectors: Stack) -> None:
    """And /ready how they are."""
    models = vectors.http.get(f"{vectors.base_url}/models", headers=key_of("globex")).json()["data"]
    tiers = {entry["id"]: entry["forebay"].get("tier") for entry in models}
    assert (tiers["minilm"], tiers["mini"]) == ("vectors", "mid")
    assert [entry["forebay"]["capabilities"] for entry in models if entry["id"] in ("minilm", "other")] == [[], []]
    assert set(vectors.readiness()["tiers"]["vectors"]["backends"]) == {
        "minilm",
        "pooled",
        "cloud-us",
        "cloud-eu",
        "other",
    }
