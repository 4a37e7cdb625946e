"""Streams say the same as whole answers, in chunks whose order clients rely on."""

from typing import Any

import openai
import pytest

from tests.llama.engine_process import NAME, EngineProcess

ASK: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Tell me about rivers."}],
    "temperature": 0.7,
    "seed": 4,
    "max_tokens": 20,
}


def test_a_stream_opens_with_the_role_and_ends_with_reason_usage_and_done(engine: EngineProcess) -> None:
    """Role first, text after, the finish reason on the last choice chunk, then usage, then [DONE]."""
    *chunks, done = engine.stream(**ASK, stream_options={"include_usage": True})
    assert done == "[DONE]"
    *body, last = chunks
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 20
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] < last["usage"]["prompt_tokens"]
    assert body[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in body] == [None] * (len(body) - 1) + ["length"]
    assert all(chunk["usage"] is None for chunk in body)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


def test_without_asking_there_is_no_usage(engine: EngineProcess) -> None:
    """Neither a usage chunk nor the field."""
    *chunks, done = engine.stream(**ASK)
    assert done == "[DONE]"
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


@pytest.mark.parametrize("stop", [None, ["river", "\n", ". "]])
def test_streamed_text_and_logprobs_equal_the_whole_answer(engine: EngineProcess, stop: list[str] | None) -> None:
    """Every token's logprob comes exactly once, on the chunk that has its text, held back or not."""
    ask = {**ASK, "logprobs": True, "top_logprobs": 3, "stop": stop, "max_tokens": 30}
    whole = engine.chat("", **ask)["choices"][0]
    *chunks, _done = engine.stream(**ask)
    texts: list[str] = []
    entries: list[Any] = []
    for chunk in chunks[1:]:
        (choice,) = chunk["choices"]
        texts.append(choice["delta"].get("content", ""))
        entries.extend(choice["logprobs"]["content"] if choice["logprobs"] else [])
    assert "".join(texts) == whole["message"]["content"]
    assert entries == whole["logprobs"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]


def test_held_back_text_never_shows_a_stop_string(engine: EngineProcess) -> None:
    """No prefix of what was streamed contains the stop string or goes past it."""
    full = engine.chat("", **{**ASK, "max_tokens": 40})["choices"][0]["message"]["content"]
    stop = full[20:32]
    *chunks, _done = engine.stream(**{**ASK, "max_tokens": 40, "stop": stop})
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == full[: full.index(stop)]


def test_choices_of_a_stream_are_told_apart_by_index(engine: EngineProcess) -> None:
    """Each choice opens, speaks and ends under its own index, and together they are the whole answer."""
    whole = engine.chat("", **ASK, n=3)["choices"]
    *chunks, _done = engine.stream(**ASK, n=3)
    for index in range(3):
        mine = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(choice["delta"].get("content", "") for choice in mine) == whole[index]["message"]["content"]
        assert mine[-1]["finish_reason"] == whole[index]["finish_reason"]


def test_completions_stream_text_with_logprobs(engine: EngineProcess) -> None:
    """The old endpoint streams `text`, and its logprobs join up to the whole ones."""
    body = {"prompt": "The river", "max_tokens": 10, "temperature": 0, "logprobs": 1}
    whole = engine.post("/v1/completions", **body).json()["choices"][0]
    *chunks, done = engine.stream("/v1/completions", **body)
    assert done == "[DONE]"
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    for key in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
        assert [one for choice in choices if choice["logprobs"] for one in choice["logprobs"][key]] == whole[
            "logprobs"
        ][key]


def test_the_openai_package_reads_it_all(engine: EngineProcess) -> None:
    """The official client parses answers, streams, model lists and errors."""
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key="-", max_retries=0) as client:
        assert [entry.id for entry in client.models.list()] == [NAME]
        stream = client.chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": "Hi"}], max_tokens=8, stream=True, logprobs=True
        )
        chunks = list(stream)
        assert chunks[-1].choices[0].finish_reason
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.completions.create(model="other", prompt="x")
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=NAME, prompt="x", temperature=9)
        assert caught.value.param == "temperature"
