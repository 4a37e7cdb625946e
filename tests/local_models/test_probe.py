"""What counts as an answer of an engine that has just come up."""

import json
from itertools import pairwise

import httpx
import pytest

from local_models.probe import Canary, EngineProbe, Verdict, long_prompt

MODELS = {"data": [{"id": "m"}]}
ONE_TOKEN = {"usage": {"completion_tokens": 1}}


def playing(answers: dict[str, tuple[int, object]]) -> httpx.AsyncClient:
    """An engine with these answers by path."""

    def answer(request: httpx.Request) -> httpx.Response:
        status, body = answers.get(request.url.path, (404, {}))
        return httpx.Response(status, json=body)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("chat", "text", "verdict"),
    [
        ((200, ONE_TOKEN), (404, {}), Verdict(ok=True)),
        ((400, {}), (200, ONE_TOKEN), Verdict(ok=True)),
        ((400, {}), (200, {"usage": {"completion_tokens": 0}}), Verdict(ok=False, why="no token came")),
        ((400, {}), (404, {}), Verdict(ok=False, why="/v1/chat/completions: HTTP 400")),
        ((500, {}), (200, ONE_TOKEN), Verdict(ok=False, why="/v1/chat/completions: HTTP 500")),
    ],
)
async def test_a_base_model_proves_itself_with_a_text(
    chat: tuple[int, object], text: tuple[int, object], verdict: Verdict
) -> None:
    """It has no chat template and says 400 to a chat; an engine that fails with one is not forgiven."""
    answers = {"/v1/models": (200, MODELS), "/v1/chat/completions": chat, "/v1/completions": text}
    async with playing(answers) as http:
        assert await EngineProbe("http://engine", http).canary() == verdict


@pytest.mark.parametrize(
    ("canary", "text", "verdict"),
    [
        (Canary(), (404, {}), Verdict(ok=True)),
        (Canary(model="m", prompt_tokens=512), (200, ONE_TOKEN), Verdict(ok=True)),
        (
            Canary(prompt_tokens=512),
            (500, {"error": None}),
            Verdict(ok=False, why="a prompt of 512 tokens: /v1/completions: HTTP 500"),
        ),
        (
            Canary(prompt_tokens=9),
            (200, {"usage": {"completion_tokens": 0}}),
            Verdict(ok=False, why="a prompt of 9 tokens: no token came"),
        ),
        (Canary(model="mine"), (200, ONE_TOKEN), Verdict(ok=False, why="/v1/models lists m, not mine")),
    ],
)
async def test_a_longer_canary_and_the_right_name_where_asked(
    canary: Canary, text: tuple[int, object], verdict: Verdict
) -> None:
    """Whoever has our port but not our model is not ours; who answers one token may still fail with many."""
    answers = {"/v1/models": (200, MODELS), "/v1/chat/completions": (200, ONE_TOKEN), "/v1/completions": text}
    async with playing(answers) as http:
        assert await EngineProbe("http://engine", http).canary(canary) == verdict


@pytest.mark.parametrize(
    ("vector", "why"),
    [
        ([0.6, -0.8], ""),
        ([], "no vector came"),
        ([0, 0], "no vector came"),
        ([None], "not an OpenAI answer"),
    ],
)
async def test_a_pooling_engine_proves_itself_with_a_vector(vector: list[float | None], why: str) -> None:
    """Of numbers, and not of nothing but zeros."""
    answers = {"/v1/models": (200, MODELS), "/v1/embeddings": (200, {"data": [{"embedding": vector}]})}
    async with playing(answers) as http:
        verdict = await EngineProbe("http://engine", http).canary(Canary("pooling"))
    assert verdict.ok == (not why)
    assert verdict.why.startswith(why)


async def test_a_longer_canary_is_sampled_and_scored() -> None:
    """What a server compiles at the first such request is there before anybody's request has to wait for it."""
    asked: list[dict[str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content or "{}"))
        return httpx.Response(200, json=MODELS if request.url.path == "/v1/models" else ONE_TOKEN)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        assert (await EngineProbe("http://engine", http).canary(Canary(prompt_tokens=9))).ok
    last = asked[-1]
    assert (last["max_tokens"], last["temperature"], last["logprobs"]) == (2, 1, 1)


@pytest.mark.parametrize("tokens", [1, 511, 512])
def test_a_long_prompt_has_so_many_tokens(tokens: int) -> None:
    """Numbers that any vocabulary has, and no run of one token."""
    prompt = long_prompt(tokens)
    assert len(prompt) == tokens
    assert all(1000 <= token < 2000 for token in prompt)
    assert all(one != other for one, other in pairwise(prompt))
