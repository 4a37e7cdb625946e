"""Prefix reuse on the real model: what prompts share is evaluated once, and no answer changes by it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_models.llama.model import Model
from local_models.llama.template import ChatTemplate
from local_models.llama.turns import Turn
from tests.llama.engine_process import EngineProcess, running
from tests.llama.reference import Reference

SYSTEM = (
    "You are the assistant of the warehouse in Lyon. Answer in one short sentence. Orders are numbered from 1000. "
    "Pallets hold forty boxes, and a box holds twelve bottles. The gates open at six in the morning and close at eight "
    "in the evening, on Saturdays at noon. Drivers call the office before they come, and wait at the second gate. "
    "Broken bottles are noted on the delivery slip. White wine is stored in the north hall, red wine in the south, "
    "and empty pallets lie behind the office. Nobody may smoke in the halls or drive faster than ten kilometres."
)
QUESTIONS = [
    "When do the gates open?",
    "How many boxes are on a pallet?",
    "What does a driver do first?",
    "Where is the warehouse?",
    "When does it close on Saturdays?",
    "What is noted on the slip?",
    "How many bottles are in a box?",
    "Say something kind about Lyon.",
    "Which number has the first order?",
    "Is it open on Sundays?",
    "Name three drinks.",
    "Who waits at the second gate?",
]


@pytest.fixture(scope="module")
def steady(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """Eight slots, and one kernel for all prompts."""
    folder = tmp_path_factory.mktemp("steady")
    arguments = ("--parallel", "8", "--context", "512", "--prompt-batch", "63")
    with running(model_path, folder, *arguments) as engine:
        yield engine.ready()


def body(question: str, **more: Any) -> dict[str, Any]:
    """A short greedy answer with logprobs."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return {"messages": messages, "temperature": 0, "max_tokens": 8, "logprobs": True, **more}


def prompt(model: Model, question: str) -> list[int]:
    """What the engine evaluates for it."""
    assert model.chat_template is not None
    template = ChatTemplate(model.chat_template, model.vocabulary)
    return template.tokens((Turn("system", SYSTEM), Turn("user", question)))


def check(answer: Any, parts: list[list[int]], model: Model, reference: Reference) -> None:
    """Every token is the likeliest one of plain evaluations of the prompt in these parts, with its logprob."""
    entries = answer["choices"][0]["logprobs"]["content"]
    said = [model.vocabulary.labels.index(bytes(entry["bytes"])) for entry in entries]
    size = sum(map(len, parts))
    rows = reference.in_parts([*parts, *([token] for token in said[:-1])])[size - 1 :]
    assert said == [int(row.argmax()) for row in rows]
    assert [entry["logprob"] for entry in entries] == pytest.approx([row.max() for row in rows], abs=1e-3)


def cached(answer: Any) -> int:
    """What usage says was not evaluated."""
    found: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return found


async def test_eight_at_once_share_a_prefix_and_say_what_one_alone_says(
    steady: EngineProcess, model: Model, reference: Reference
) -> None:
    """Token for token and to the last digits, with prefixes copied from whoever runs and taken from who has gone."""
    evaluated = steady.metric("vllm:prompt_tokens_total") - steady.metric("vllm:prefix_cache_hits_total")
    async with httpx.AsyncClient(base_url=steady.url, timeout=100) as http:
        line = asyncio.Semaphore(8)

        async def ask(question: str) -> Any:
            async with line:
                return (await http.post("/v1/chat/completions", json=body(question))).json()

        answers = await asyncio.gather(*map(ask, QUESTIONS))
    prompts = [prompt(model, question) for question in QUESTIONS]
    for answer, tokens in zip(answers, prompts, strict=True):
        check(answer, [tokens[at : at + 48] for at in range(0, len(tokens), 48)], model, reference)
    shared = [cached(answer) for answer in answers]
    assert shared.count(0) == 1
    assert sorted(shared)[1] >= 120
    evaluated = steady.metric("vllm:prompt_tokens_total") - steady.metric("vllm:prefix_cache_hits_total") - evaluated
    assert evaluated == sum(map(len, prompts)) - sum(shared)
    assert steady.metric("vllm:prompt_tokens_cached_total") == sum(shared)


def test_a_prompt_that_is_asked_again_goes_on_with_the_kernel_it_has_anyway(
    engine: EngineProcess, model: Model, reference: Reference
) -> None:
    """By default too, one after the other: answers are those of prompts evaluated in one go."""
    questions = ["When do trucks arrive? Think of the gates, of the hours and of the drivers.", "And on Saturdays?"]
    answers = [engine.chat(**body(question)) for question in questions]
    for answer, question in zip(answers, questions, strict=True):
        check(answer, [prompt(model, question)], model, reference)
    tokens = [prompt(model, question) for question in questions]
    assert cached(answers[0]) == 0
    assert cached(answers[1]) == len(tokens[1]) - 64


def test_a_long_prompt_leaves_as_much_to_that_kernel(engine: EngineProcess, model: Model, reference: Reference) -> None:
    """Its first token is the one that it has without reuse, though few of the prompt's are its own."""
    questions = [f"{SYSTEM} {SYSTEM} {last}" for last in ("When do the gates open?", "Where is the wine?")]
    answers = [engine.chat(**body(question, max_tokens=1)) for question in questions]
    tokens = [prompt(model, question) for question in questions]
    assert min(map(len, tokens)) > 256
    for answer, one in zip(answers, tokens, strict=True):
        check(answer, [one], model, reference)
    assert cached(answers[1]) == len(tokens[1]) - 64


def test_a_short_prompt_takes_over_what_a_short_one_has_left(
    engine: EngineProcess, model: Model, reference: Reference
) -> None:
    """Fewer than 64 tokens never meet the kernel for many, so whatever they begin with is theirs to use."""
    assert model.chat_template is not None
    template = ChatTemplate(model.chat_template, model.vocabulary)
    questions = ["Name a colour.", "Name a fruit that is red."]
    plain: dict[str, Any] = {"temperature": 0, "max_tokens": 8, "logprobs": True}
    answers = [engine.chat(messages=[{"role": "user", "content": question}], **plain) for question in questions]
    for answer, question in zip(answers, questions, strict=True):
        tokens = template.tokens((Turn("user", question),))
        assert len(tokens) < 64
        check(answer, [tokens], model, reference)
    assert cached(answers[1]) >= 16


def test_a_stream_says_what_was_kept_too(engine: EngineProcess) -> None:
    """In the usage at its end, for two choices as for one."""
    first = engine.chat(**body("What is a pallet?"))
    assert first["choices"]
    events = engine.stream(**body("What is a pallet?", n=2, stream_options={"include_usage": True}))
    assert events[-2]["usage"]["prompt_tokens_details"]["cached_tokens"] >= 64


def test_reuse_can_be_turned_off(model_path: Path, tmp_path: Path) -> None:
    """Nothing is looked for, and the same prompt is evaluated anew."""
    arguments = ("--parallel", "1", "--context", "512", "--no-prefix-reuse")
    with running(model_path, tmp_path, *arguments) as engine:
        engine.ready()
        answers = [engine.chat(**body("What is a pallet?", max_tokens=1)) for _ in range(2)]
        assert [cached(answer) for answer in answers] == [0, 0]
        assert engine.metric("vllm:prefix_cache_queries_total") == 0
        prompts = sum(answer["usage"]["prompt_tokens"] for answer in answers)
        assert engine.metric("vllm:prompt_tokens_total") == prompts


def test_plain_attention_reuses_all_there_is(model_path: Path, steady: EngineProcess, tmp_path: Path) -> None:
    """One kernel evaluates all prompts then, and not the one of flash attention: what it finds is nearly the same."""
    arguments = ("--parallel", "1", "--context", "512", "--attention", "plain")
    with running(model_path, tmp_path, *arguments) as engine:
        engine.ready()
        first, again = (engine.chat(**body("What is a pallet?")) for _ in range(2))
    assert (cached(first), cached(again)) == (0, again["usage"]["prompt_tokens"] - 1)
    plain, flash = (logprob(answer) for answer in (first, steady.chat(**body("What is a pallet?"))))
    assert 0 < abs(plain - flash) < 0.2


def logprob(answer: dict[str, Any]) -> float:
    """Of its first token."""
    found: float = answer["choices"][0]["logprobs"]["content"][0]["logprob"]
    return found
