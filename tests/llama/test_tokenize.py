"""`/tokenize` says what a prompt is in tokens, as vLLM says it, and counts what a request is charged."""

from typing import Any

import httpx
import pytest

from local_models.llama.asks import MAX_TOKENIZED
from local_models.llama.model import Model
from tests.llama.engine_process import NAME, EngineProcess

TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Hi 🚀"}]}]


def tokenized(engine: EngineProcess, **body: Any) -> dict[str, Any]:
    """The answer; fails when it is not a 200."""
    response = engine.post("/tokenize", **body)
    assert response.status_code == httpx.codes.OK, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_conversation_counts_what_a_chat_is_charged(engine: EngineProcess) -> None:
    """The tokens of the model's own template, up to where the answer begins."""
    found = tokenized(engine, model=NAME, messages=TURNS)
    charged = engine.chat(messages=TURNS, max_tokens=1)["usage"]["prompt_tokens"]
    assert found == {"count": charged, "max_model_len": 768, "tokens": found["tokens"]}
    assert len(found["tokens"]) == charged


def test_the_generation_prompt_may_be_left_out(engine: EngineProcess, model: Model) -> None:
    """What is left out is the opening of the assistant's turn, and it stands at the end."""
    whole, bare = tokenized(engine, messages=TURNS), tokenized(engine, messages=TURNS, add_generation_prompt=False)
    opening = model.vocabulary.tokenize("<|im_start|>assistant\n", add_special=False, parse_special=True)
    assert whole["tokens"] == bare["tokens"] + opening
    assert tokenized(engine, messages=TURNS, add_generation_prompt=True) == whole


def test_a_prompt_counts_what_a_completion_is_charged(engine: EngineProcess, model: Model) -> None:
    """Names of control tokens are control tokens, as in `/v1/completions`."""
    prompt = "Once upon<|im_end|> a time"
    found = tokenized(engine, prompt=prompt)
    usage = engine.post("/v1/completions", prompt=prompt, max_tokens=1).json()["usage"]
    assert found["count"] == usage["prompt_tokens"]
    assert found["tokens"] == model.vocabulary.tokenize(prompt, add_special=True, parse_special=True)
    assert tokenized(engine, prompt="")["count"] == 0


def test_a_prompt_longer_than_the_context_is_counted_all_the_same(engine: EngineProcess) -> None:
    """Who counts wants to know by how much it is too long."""
    assert tokenized(engine, prompt=" a" * 5_000)["count"] == 5_000
    assert tokenized(engine, messages=[{"role": "user", "content": " a" * 5_000}])["count"] > 5_000


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "prompt"),
        ({"prompt": "x", "messages": TURNS}, 400, "prompt"),
        ({"prompt": 5}, 400, "prompt"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "messages[0].role"),
        ({"prompt": "x", "model": "gpt-5"}, 404, "model"),
        ({"prompt": "a" * (MAX_TOKENIZED + 1)}, 400, "prompt"),
        ({"messages": [{"role": "user", "content": "a" * (MAX_TOKENIZED + 1)}]}, 400, "messages"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    engine: EngineProcess, body: dict[str, Any], status: int, param: str
) -> None:
    """In OpenAI's shape, with the field named."""
    response = engine.post("/tokenize", **body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
