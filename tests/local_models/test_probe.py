"""What counts as an answer of an engine that has just come up."""

import httpx
import pytest

from local_models.probe import EngineProbe, Verdict

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
