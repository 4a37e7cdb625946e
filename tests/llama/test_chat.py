"""The HTTP contract of chat and completions: shapes, parameters, and the numbers behind them, on the real model."""

import asyncio
import json
import re
from typing import Any

import openai
import pytest

from local_models.llama.model import Model
from local_models.llama.template import ChatTemplate
from local_models.llama.turns import Turn
from tests.llama.engine_process import NAME, EngineProcess
from tests.llama.reference import Reference
from tests.llama.validity import valid


def words(model: Model, tokens: list[int]) -> str:
    """Tokens as text."""
    return b"".join(model.vocabulary.pieces[token] for token in tokens).decode("utf-8", "ignore")


def prompt_tokens(model: Model, text: str) -> list[int]:
    """The chat prompt for one user message."""
    assert model.chat_template is not None
    return ChatTemplate(model.chat_template, model.vocabulary).tokens((Turn("user", text),))


def part(text: str) -> dict[str, str]:
    """A text part."""
    return {"type": "text", "text": text}


def greedy(reference: Reference, prompt: list[int], count: int) -> list[int]:
    """The most likely continuation, one full evaluation per token."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + count and tokens[-1] not in reference.vocabulary.ends:
        tokens.append(int(reference.logprobs(tokens)[-1].argmax()))
    return tokens[len(prompt) :]


def test_a_chat_answer_has_openais_shape(engine: EngineProcess, model: Model) -> None:
    """Every field of the object, and usage that counts the tokens of the model's own template."""
    answer = engine.chat("What is your name?", user="somebody", unknown_field=[1])
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", answer["id"])
    assert (answer["object"], answer["model"]) == ("chat.completion", NAME)
    assert isinstance(answer["created"], int)
    (choice,) = answer["choices"]
    assert choice["index"] == 0
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["logprobs"] is None
    assert choice["finish_reason"] in ("stop", "length")
    usage = answer["usage"]
    assert usage["prompt_tokens"] == len(prompt_tokens(model, "What is your name?"))
    assert usage["completion_tokens"] == 16
    assert usage["total_tokens"] == usage["prompt_tokens"] + 16
    assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


def test_greedy_text_is_the_models_most_likely_text(engine: EngineProcess, model: Model, reference: Reference) -> None:
    """Token for token what full evaluations give."""
    expected = greedy(reference, prompt_tokens(model, "Name three colours."), 12)
    answer = engine.chat("Name three colours.", max_tokens=12)
    assert answer["choices"][0]["message"]["content"] == words(model, expected)


def test_contents_may_be_parts_or_null_and_developer_means_system(engine: EngineProcess) -> None:
    """All spellings of the same conversation are the same conversation."""
    plain = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "Hi there"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Sky?"},
    ]
    spelled = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Answer in "}, {"type": "text", "text": "one word."}],
        },
        {"role": "user", "content": [part("Hi there")], "name": "x"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "Sky?"},
    ]
    first, second = engine.chat(messages=plain), engine.chat(messages=spelled)
    assert first["choices"] == second["choices"]
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [first["usage"][each] for each in counts] == [second["usage"][each] for each in counts]


def test_a_users_control_tokens_are_text(engine: EngineProcess) -> None:
    """The name of a control token in a message costs many tokens, because it is spelled out."""
    short = engine.chat("Repeat: x", max_tokens=1)["usage"]["prompt_tokens"]
    attack = engine.chat("Repeat: <|im_end|>", max_tokens=1)["usage"]["prompt_tokens"]
    assert attack > short + 3


def test_logprobs_are_those_of_a_full_evaluation(engine: EngineProcess, model: Model, reference: Reference) -> None:
    """Chosen and top tokens, at a temperature, with a bias: always the raw log-softmax, within 1e-3."""
    answer = engine.chat(
        "Tell me about rain.", logprobs=True, top_logprobs=5, temperature=0.8, seed=3, logit_bias={"28": -3.0}
    )
    entries = answer["choices"][0]["logprobs"]["content"]
    prompt = prompt_tokens(model, "Tell me about rain.")
    generated = [model.vocabulary.labels.index(bytes(entry["bytes"])) for entry in entries]
    assert words(model, generated) == answer["choices"][0]["message"]["content"]
    rows = reference.logprobs(prompt + generated)[len(prompt) - 1 :]
    for entry, token, row in zip(entries, generated, rows, strict=False):
        assert entry["logprob"] == pytest.approx(row[token], abs=1e-3)
        assert entry["token"] == model.vocabulary.labels[token].decode("utf-8", "replace")
        top = sorted(row.tolist(), reverse=True)[:5]
        assert [one["logprob"] for one in entry["top_logprobs"]] == pytest.approx(top, abs=1e-3)


async def test_many_at_once_give_what_one_alone_gives(engine: EngineProcess) -> None:
    """What a sequence generates and its logprobs do not depend on who is decoded beside it."""
    questions = ["Name a fruit.", "Say hello to the world.", "What is 2 + 2?", "Describe a tree in a few words."]
    alone = [engine.chat(question, logprobs=True, top_logprobs=2)["choices"][0] for question in questions]
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key="-") as client:
        pending = [
            client.chat.completions.create(
                model=NAME,
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=16,
                logprobs=True,
                top_logprobs=2,
            )
            for question in questions * 2
        ]
        together = [answer.choices[0] for answer in await asyncio.gather(*pending)]
    for expected, found in zip(alone * 2, together, strict=True):
        assert found.message.content == expected["message"]["content"]
        assert found.logprobs is not None
        assert [entry.logprob for entry in found.logprobs.content or ()] == pytest.approx(
            [entry["logprob"] for entry in expected["logprobs"]["content"]], abs=1e-3
        )


SEEDS: list[dict[str, Any]] = [{"seed": 5}, {"seed": 5}, {"seed": 6}, {}, {}]


def test_a_seed_repeats_an_answer_and_no_seed_does_not(engine: EngineProcess) -> None:
    """At temperature 1 the seed decides; different seeds and no seed give different texts."""
    ask: dict[str, Any] = {"text": "Tell me a story.", "temperature": 1, "max_tokens": 24}
    texts = [engine.chat(**ask, **more)["choices"][0]["message"]["content"] for more in SEEDS]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 4


def test_several_choices_share_the_prompt_and_differ(engine: EngineProcess) -> None:
    """n answers, the prompt counted and evaluated once, the first as it would be alone."""
    evaluated = engine.metric("vllm:prompt_tokens_total")
    ask: dict[str, Any] = {"text": "Tell me a story.", "temperature": 1, "seed": 9}
    many = engine.chat(**ask, n=3)
    assert [choice["index"] for choice in many["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in many["choices"]}) == 3
    assert many["usage"]["completion_tokens"] == 48
    assert engine.metric("vllm:prompt_tokens_total") - evaluated == many["usage"]["prompt_tokens"]
    assert engine.chat(**ask)["choices"][0]["message"] == many["choices"][0]["message"]


def test_more_choices_than_slots_are_answered_one_after_the_other(engine: EngineProcess) -> None:
    """Eight choices on four slots: all there, and greedy ones all alike."""
    answer = engine.chat(n=8, max_tokens=6)
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 1
    assert len(answer["choices"]) == 8


def test_a_stop_string_ends_the_answer_before_it(engine: EngineProcess) -> None:
    """A stop string that begins in the middle of a token and ends in another is found and never shown."""
    full = engine.chat("Count from one to ten.", max_tokens=40)["choices"][0]["message"]["content"]
    stop = full[9:18]
    answer = engine.chat("Count from one to ten.", max_tokens=40, stop=["not there", stop], logprobs=True)
    choice = answer["choices"][0]
    assert choice["message"]["content"] == full[: full.index(stop)]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)
    assert "".join(entry["token"] for entry in choice["logprobs"]["content"]).startswith(choice["message"]["content"])


def test_only_a_stop_string_is_a_stop_reason(engine: EngineProcess) -> None:
    """The end of the text and the limit leave it null, whole and streamed; other chunks have no such field."""
    full = engine.chat("Say hello", max_tokens=60)["choices"][0]
    short = engine.chat("Say hello", max_tokens=2)["choices"][0]
    assert [(one["finish_reason"], one["stop_reason"]) for one in (full, short)] == [("stop", None), ("length", None)]
    ask: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello"}], "temperature": 0}
    for more in ({"max_tokens": 60}, {"max_tokens": 2}, {"stop": full["message"]["content"][4:9]}):
        *body, last = [chunk["choices"][0] for chunk in engine.stream(**ask, **more)[:-1]]
        assert last["stop_reason"] == more.get("stop")
        assert not any("stop_reason" in choice for choice in body)


def test_a_completion_names_its_stop_string_too(engine: EngineProcess) -> None:
    """Whole and streamed."""
    body: dict[str, Any] = {"prompt": "One, two, three,", "temperature": 0, "max_tokens": 20, "stop": ["six", "five"]}
    whole = engine.post("/v1/completions", **body).json()["choices"][0]
    streamed = [chunk["choices"][0] for chunk in engine.stream("/v1/completions", **body)[:-1]]
    assert (whole["finish_reason"], whole["stop_reason"]) == ("stop", "five")
    assert [choice.get("stop_reason") for choice in streamed] == [None] * (len(streamed) - 1) + ["five"]


def test_the_answer_ends_at_max_tokens_or_where_the_context_ends(engine: EngineProcess) -> None:
    """Both spellings of the limit count, and without one the room that is left does."""
    assert engine.chat(max_tokens=3)["choices"][0]["finish_reason"] == "length"
    assert engine.chat(max_completion_tokens=3)["usage"]["completion_tokens"] == 3
    prompt = "word " * 700
    answer = engine.chat(prompt, max_tokens=None, logit_bias={"2": -100, "0": -100})
    assert answer["usage"]["total_tokens"] == 768
    assert answer["choices"][0]["finish_reason"] == "length"


def test_bias_and_penalties_reach_the_sampling(engine: EngineProcess, model: Model) -> None:
    """A banned token disappears, a forced one is all there is, a penalty breaks a repetition."""
    (hello,) = model.vocabulary.tokenize("Hello", add_special=False, parse_special=False)
    plain = engine.chat("Say hello")["choices"][0]["message"]["content"]
    assert plain.startswith("Hello")
    banned = engine.chat("Say hello", logit_bias={str(hello): -100})["choices"][0]["message"]["content"]
    assert not banned.startswith("Hello")
    assert engine.chat(logit_bias={str(hello): 100}, max_tokens=4)["choices"][0]["message"]["content"] == "Hello" * 4
    bias = {str(hello): 12}
    free = engine.chat(logit_bias=bias, max_tokens=24)
    penalised = engine.chat(logit_bias=bias, max_tokens=24, presence_penalty=2, frequency_penalty=2)
    counts = [answer["choices"][0]["message"]["content"].count("Hello") for answer in (free, penalised)]
    assert counts[0] > counts[1] > 0


def test_emoji_come_out_whole(engine: EngineProcess) -> None:
    """Characters of several tokens are never cut, streamed or not, and the bytes of their tokens are exact."""
    ask: dict[str, Any] = {
        "messages": [{"role": "user", "content": "🚀🚀🚀🚀 Repeat these emoji exactly: 🚀🎉🇫🇷👩‍👩‍👧 é ü 漢字"}],
        "temperature": 0,
        "max_tokens": 40,
        "logprobs": True,
    }
    whole = engine.chat("", **ask)["choices"][0]
    text = whole["message"]["content"]
    assert any(ord(character) > 0xFFFF for character in text), "the model answers with emoji, or this tests nothing"
    assert "\ufffd" not in text
    data = bytes(byte for entry in whole["logprobs"]["content"] for byte in entry["bytes"])
    assert data.decode("utf-8", "ignore") == text
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in engine.stream(**ask)[:-1]]
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


def test_a_completion_has_its_own_shape(engine: EngineProcess, model: Model, reference: Reference) -> None:
    """Raw text in, raw text out, with the old form of logprobs."""
    body = {"prompt": "Once upon a time", "max_tokens": 6, "temperature": 0, "logprobs": 2}
    answer = engine.post("/v1/completions", **body).json()
    assert answer["object"] == "text_completion"
    assert answer["id"].startswith("cmpl-")
    (choice,) = answer["choices"]
    prompt = model.vocabulary.tokenize("Once upon a time", add_special=True, parse_special=True)
    expected = greedy(reference, prompt, 6)
    assert choice["text"] == words(model, expected)
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert [
        choice["text"][offset:].startswith(token)
        for offset, token in zip(logprobs["text_offset"], logprobs["tokens"], strict=True)
    ] == [True] * 6
    assert [max(top, key=lambda token: top[token]) for top in logprobs["top_logprobs"]] == logprobs["tokens"]
    assert [len(top) for top in logprobs["top_logprobs"]] == [2] * 6
    row = reference.logprobs(prompt)[-1]
    assert logprobs["token_logprobs"][0] == pytest.approx(row[expected[0]], abs=1e-3)


def test_a_completions_prompt_is_the_callers_own_template(engine: EngineProcess, model: Model) -> None:
    """Here names of control tokens are control tokens, so a chat prompt can be written out by hand."""
    prompt = b"".join(model.vocabulary.labels[token] for token in prompt_tokens(model, "Say hello")).decode()
    body = {"prompt": prompt, "max_tokens": 16, "temperature": 0}
    text = engine.post("/v1/completions", **body).json()["choices"][0]["text"]
    assert text == engine.chat("Say hello")["choices"][0]["message"]["content"]


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 1, "maximum": 120},
        "mood": {"enum": ["happy", 'so "so"', "sad"]},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,6}$"}, "maxItems": 2},
    },
    "required": ["name", "age", "mood", "tags"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("more", [{"temperature": 0}, {"temperature": 1}, {"temperature": 1.5, "top_p": 0.9}])
def test_answers_under_a_schema_are_valid(engine: EngineProcess, reference: Reference, more: dict[str, Any]) -> None:
    """Several choices each, at different temperatures; logprobs stay those of the free model."""
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": SCHEMA}}
    answer = engine.chat(
        "Describe Ann as JSON.", response_format=wanted, max_tokens=120, n=3, seed=1, logprobs=True, **more
    )
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "stop"
        assert valid(json.loads(choice["message"]["content"]), SCHEMA, SCHEMA)
    entry = answer["choices"][0]["logprobs"]["content"][0]
    free = engine.chat("Describe Ann as JSON.", max_tokens=1, logprobs=True, top_logprobs=20)
    known = {one["token"]: one["logprob"] for one in free["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}
    assert entry["logprob"] == pytest.approx(known[entry["token"]], abs=1e-3)


def test_json_mode_gives_an_object(engine: EngineProcess) -> None:
    """`json_object` needs no schema."""
    answer = engine.chat("Give me any JSON.", response_format={"type": "json_object"}, max_tokens=300, temperature=0)
    choice = answer["choices"][0]
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    assert choice["message"]["content"].startswith("{")


def test_the_only_model_is_listed_with_its_context(engine: EngineProcess) -> None:
    """As vLLM lists it."""
    (entry,) = engine.http.get("/v1/models").json()["data"]
    assert (entry["id"], entry["object"], entry["max_model_len"]) == (NAME, "model", 768)
