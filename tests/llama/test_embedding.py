"""`/v1/embeddings` of a pooling engine, on the real model: the vectors are right, alone and in company."""

import base64
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from numpy.typing import NDArray

from local_models.llama.embedding import MAX_TEXTS
from tests.llama.bert import Bert
from tests.llama.engine_process import NAME, EngineProcess, eventually, running

Vectors = NDArray[np.float64]

EXAMPLE = "This is an example sentence"
EXAMPLE_TOKENS = [101, 2023, 2003, 2019, 2742, 6251, 102]
"""With [CLS] and [SEP]; the numbers are those of bert-base-uncased, whose vocabulary it is."""
HAPPY = ("That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day")
UNEQUAL = (
    "x",
    "The pool in front of the turbines.",
    "What the station can use goes through, and the surplus goes over the spillway. " * 8,
    "a b",
    "Wasser, das über die Mauer geht, treibt kein Rad mehr an, sagt der Müller zu seinem Sohn.",
)


@pytest.fixture(scope="module")
def embedder(embedding_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """all-MiniLM-L6-v2 in an engine of its own."""
    folder = tmp_path_factory.mktemp("embedder")
    options = ("--runner", "pooling", "--parallel", "4", "--context", "512")
    with running(embedding_model_path, folder, *options) as process:
        yield process.ready()


@pytest.fixture(scope="module")
def bert(embedding_model_path: Path) -> Bert:
    """The same model in numpy."""
    return Bert(embedding_model_path)


def vectors(engine: EngineProcess, given: Any, **more: Any) -> Vectors:
    """The vectors of an answer, one row each, in order."""
    response = engine.post("/v1/embeddings", input=given, **more)
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return np.array([each["embedding"] for each in data])


def test_the_answer_has_openais_shape(embedder: EngineProcess) -> None:
    """Every field of the object; usage counts every token once."""
    answer = embedder.post("/v1/embeddings", input=[EXAMPLE, "x"], model=NAME, user="somebody").json()
    assert answer.keys() == {"object", "data", "model", "usage"}
    assert (answer["object"], answer["model"]) == ("list", NAME)
    assert [entry["object"] for entry in answer["data"]] == ["embedding", "embedding"]
    assert answer["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    assert len(answer["data"][0]["embedding"]) == 384


def test_vectors_are_those_of_the_published_model(embedder: EngineProcess) -> None:
    """The first numbers and the likenesses that the model's own page shows."""
    (example,) = vectors(embedder, EXAMPLE)
    assert example[:5] == pytest.approx([0.0677, 0.0635, 0.0487, 0.0793, 0.0374], abs=3e-4)
    person, dog, very, day = vectors(embedder, list(HAPPY))
    assert [person @ dog, person @ very, person @ day] == pytest.approx([0.695, 0.943, 0.257], abs=2e-3)


def test_vectors_are_what_numpy_computes(embedder: EngineProcess, bert: Bert) -> None:
    """All of them, for a text given in tokens."""
    long = [101, *range(2000, 2200), 102]
    found = vectors(embedder, [EXAMPLE_TOKENS, long])
    assert found[0] @ bert.mean(EXAMPLE_TOKENS) > 0.99999
    assert found[1] @ bert.mean(long) > 0.99999


def test_a_text_and_its_tokens_are_the_same(embedder: EngineProcess) -> None:
    """Tokens are taken as they are; a text gets the model's own marks at its ends, and marks in it are text."""
    one, other, marked = vectors(embedder, [EXAMPLE, EXAMPLE_TOKENS, f"{EXAMPLE} [SEP]"])
    assert one @ other > 0.99999
    assert one @ marked < 0.99
    (alone,) = vectors(embedder, EXAMPLE_TOKENS)
    assert alone @ one > 0.99999


def test_every_vector_has_length_1(embedder: EngineProcess) -> None:
    """So that a product of two is their cosine."""
    assert np.linalg.norm(vectors(embedder, list(UNEQUAL)), axis=1) == pytest.approx(1, abs=1e-5)


def test_texts_in_one_batch_do_not_change_each_other(embedder: EngineProcess) -> None:
    """Texts of unequal length get the vectors they get alone, in their order."""
    together = vectors(embedder, list(UNEQUAL))
    alone = np.stack([vectors(embedder, text)[0] for text in UNEQUAL])
    assert ((together * alone).sum(axis=1) >= 0.9999).all()
    assert (together @ alone.T).argmax(axis=1).tolist() == list(range(len(UNEQUAL)))


def test_more_texts_than_fit_into_a_batch(embedder: EngineProcess) -> None:
    """A hundred texts are several batches and one answer."""
    texts = [f"{text} {number}" for number in range(20) for text in UNEQUAL]
    together = vectors(embedder, texts)
    assert together.shape == (100, 384)
    (last,) = vectors(embedder, texts[-1])
    assert together[-1] @ last >= 0.9999


def test_base64_holds_the_same_numbers(embedder: EngineProcess) -> None:
    """Little-endian float32, as OpenAI packs them."""
    plain = vectors(embedder, EXAMPLE)[0]
    packed = embedder.post("/v1/embeddings", input=EXAMPLE, encoding_format="base64").json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(packed), dtype="<f4").tolist() == plain.tolist()


def test_the_official_client_reads_them(embedder: EngineProcess) -> None:
    """It asks for base64 by itself."""
    with openai.OpenAI(base_url=f"{embedder.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model=NAME, input=[EXAMPLE, "x"])
    assert len(answer.data) == 2
    assert [each.embedding for each in answer.data] == vectors(embedder, [EXAMPLE, "x"]).tolist()


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"input": ""}, "input", "input is empty"),
    ({"input": []}, "input", "length >= 1"),
    ({"input": ["x", ""]}, "input[1]", "input[1] is empty"),
    ({"input": [[101], []]}, "input[1]", "input[1] is empty"),
    ({"input": ["x", 5]}, "input", "mixes tokens with texts"),
    ({"input": [5, [5]]}, "input", "mixes tokens with texts"),
    ({"input": 5}, "input", "Expected"),
    ({"input": [True]}, "input[0]", "Expected"),
    ({}, "input", "missing required field"),
    ({"input": [30522]}, "input", "tokens are numbers from 0 to 30521"),
    ({"input": [[7], [-1]]}, "input[1]", "tokens are numbers from 0 to 30521"),
    ({"input": "x", "encoding_format": "int8"}, "encoding_format", "Invalid enum value"),
    ({"input": "x", "dimensions": 0}, "dimensions", ">= 1"),
    ({"input": "x", "dimensions": 128}, "dimensions", "vectors have 384 numbers"),
    ({"input": ["x"] * (MAX_TEXTS + 1)}, "input", "2,049 texts are over the limit of 2,048"),
    ({"input": ["word " * 100_000] * 5}, "input", "2,500,000 characters are over the limit"),
    ({"input": [[2000] * 500] * 700}, "input", "350,000 tokens are over the limit of 300,000"),
]


@pytest.mark.parametrize(("body", "param", "said"), REFUSED)
def test_what_cannot_be_embedded_is_refused(
    embedder: EngineProcess, body: dict[str, Any], param: str, said: str
) -> None:
    """A 400 that names the place in the body."""
    response = embedder.post("/v1/embeddings", **body)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert said in error["message"]


def test_a_text_over_the_context_is_refused_by_its_place(embedder: EngineProcess) -> None:
    """512 tokens are taken, 513 are not, and nothing is cut in silence."""
    assert vectors(embedder, [[2000] * 512]).shape == (1, 384)
    response = embedder.post("/v1/embeddings", input=["x", "word " * 600])
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "input[1]")
    assert error["message"] == "This model's maximum context length is 512 tokens, and input[1] has 602."


def test_its_own_size_is_no_cut(embedder: EngineProcess) -> None:
    """Clients that always name the size get what they name."""
    assert vectors(embedder, EXAMPLE, dimensions=384).shape == (1, 384)


def test_who_searches_does_not_wait_for_who_fills_an_index(embedder: EngineProcess) -> None:
    """Every seat is taken by a request for many vectors; a more urgent one is answered before any of them ends."""
    texts = ["What the station can use goes through, and the rest goes over. " * 12] * 16
    with ThreadPoolExecutor(4) as pool:
        index = [pool.submit(vectors, embedder, texts, priority=1) for _ in range(4)]
        eventually(lambda: embedder.metric("vllm:num_requests_running") == 4, "all seats are taken")
        assert vectors(embedder, EXAMPLE, priority=-1).shape == (1, 384)
        assert not any(each.done() for each in index)
        assert all(each.result().shape == (16, 384) for each in index)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_it_generates_no_text(embedder: EngineProcess, path: str) -> None:
    """One process is for one thing, and says for which."""
    response = embedder.post(path, messages=[], prompt="x")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "unsupported")
    assert "runner: pooling" in error["message"]


def test_an_engine_that_generates_gives_no_vectors(engine: EngineProcess) -> None:
    """Nor the other way round."""
    response = engine.post("/v1/embeddings", input="x")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "unsupported")
    assert "runner: pooling" in error["message"]


def test_another_models_name_is_a_404(embedder: EngineProcess) -> None:
    """Vectors of two models do not compare, so none stands in for another."""
    response = embedder.post("/v1/embeddings", input="x", model="text-embedding-3-small")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_what_metrics_say(embedder: EngineProcess) -> None:
    """Requests, and the tokens of their texts, under the names that generation has them under."""
    names = ("vllm:prompt_tokens_total", "vllm:e2e_request_latency_seconds_count")
    before = [embedder.metric(name) for name in names]
    finished = embedder.metric("vllm:request_success_total", finished_reason="stop")
    vectors(embedder, [EXAMPLE_TOKENS, EXAMPLE_TOKENS])
    assert [embedder.metric(name) for name in names] == [before[0] + 14, before[1] + 1]
    assert embedder.metric("vllm:request_success_total", finished_reason="stop") == finished + 1
    assert embedder.metric("vllm:num_requests_running") == 0
    assert not math.isnan(embedder.metric("vllm:kv_cache_usage_perc"))


def test_the_model_is_listed_with_the_length_of_a_text(embedder: EngineProcess) -> None:
    """What a client may send at once."""
    (listed,) = embedder.http.get("/v1/models").json()["data"]
    assert (listed["id"], listed["max_model_len"]) == (NAME, 512)
