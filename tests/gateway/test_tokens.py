"""The estimate of a prompt's size keeps the error that it states, and costs a fixed number of steps."""

import ctypes
from pathlib import Path

import llama_cpp
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.messages import (
    ChatRequest,
    FunctionCall,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    Message,
    TextPart,
    Tool,
    ToolCall,
)
from gateway.tokens import estimate, estimate_prompt
from gateway.types import TokenCount
from tests.gateway.steps import lines_run


class Sample(msgspec.Struct):
    """A text, and how many tokens SmolLM2's own tokenizer makes of it."""

    kind: str
    tokens: int
    text: str


def samples() -> list[Sample]:
    """The committed corpus."""
    raw = Path(__file__).with_name("token_counts.jsonl").read_bytes()
    return [msgspec.json.decode(line, type=Sample) for line in raw.splitlines()]


def within(sample: Sample) -> bool:
    """Whether the true count lies where the estimate says it does."""
    found = estimate(sample.text)
    return abs(sample.tokens - found.tokens) <= found.error


def test_the_stated_error_holds() -> None:
    """Of prose, code, JSON, Markdown, logs and eight other languages, 95 of 100 texts lie within it."""
    corpus = samples()
    outside = [sample.kind for sample in corpus if not within(sample)]
    assert len(corpus) >= 40
    assert len(outside) <= 0.05 * len(corpus), outside


def test_plain_english_is_met_more_closely() -> None:
    """Questions, letters and prose are within 10 %: most prompts are."""
    english = [sample for sample in samples() if sample.kind in ("question", "letter", "prose")]
    assert len(english) >= 10
    assert all(abs(estimate(each.text).tokens - each.tokens) <= 0.1 * each.tokens for each in english)


def test_the_corpus_was_counted_by_the_real_tokenizer(model_path: Path) -> None:
    """The counts beside the texts are those of the model that the developer configuration serves."""
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(model_path).encode(), parameters)
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    try:
        for sample in samples():
            raw = sample.text.encode()
            tokens = (llama_cpp.llama_token * (len(raw) + 8))()
            found = llama_cpp.llama_tokenize(vocabulary, raw, len(raw), tokens, len(tokens), False, False)  # noqa: FBT003
            assert found == sample.tokens, sample.kind
    finally:
        llama_cpp.llama_model_free(model)


@pytest.mark.parametrize("unit", ["a", "é", "字", " ", "\n", "7", "}", "a b 1\n", "\x00"])
def test_the_steps_do_not_grow_with_the_text(unit: str) -> None:
    """What is done per character is done by a fixed number of passes of compiled code."""
    short, long = unit * 10, unit * 100_000
    assert lines_run(lambda: estimate(long)) == lines_run(lambda: estimate(short)) < 60


@given(st.text(max_size=200) | st.text(st.characters(categories=["Cs", "Cc", "Zs", "Lo"]), max_size=50))
@example("")
@example(" " * 1000)
@example("\ud800")
@settings(max_examples=200, deadline=None)
def test_any_text_has_an_estimate(text: str) -> None:
    """Lone surrogates and runs of blanks included: a whole number that is not negative, with room for error."""
    found = estimate(text)
    assert found.tokens >= 0
    assert found.error >= 1
    assert found.tokens >= len(text.encode(errors="replace")) // 16 - 1


@given(st.lists(st.sampled_from(samples()), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_text_is_about_the_sum_of_its_parts(parts: list[Sample]) -> None:
    """Joining texts of one kind does not change what they are made of."""
    text = parts[0].text
    one, many = estimate(text).tokens, estimate(text * len(parts)).tokens
    assert abs(many - len(parts) * one) <= len(parts)


def request(*messages: Message, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    """A request of these turns."""
    return ChatRequest(id="r", created=0, requested_model="auto", messages=messages, tools=tools)


def test_everything_that_is_sent_is_counted() -> None:
    """Turns, parts, tool calls, tool descriptions, images, and the template around each turn."""
    text = "please read these four words"
    plain = request(Message("user", text))
    assert estimate_prompt(plain) == TokenCount(estimate(text).tokens + 8, estimate(text).error)
    assert estimate_prompt(request(Message("user", (TextPart(text),)))) == estimate_prompt(plain)
    call = ToolCall("c", FunctionCall("look", '{"where": "here"}'))
    larger = [
        request(Message("system", text), Message("user", text)),
        request(Message("user", text), Message("assistant", tool_calls=(call,))),
        request(Message("user", text), tools=(Tool(FunctionSpec("look", "Looks somewhere.", {"type": "object"})),)),
        request(Message("user", (TextPart(text), ImagePart(ImageUrl("data:x"))))),
    ]
    assert all(estimate_prompt(each).tokens > estimate_prompt(plain).tokens for each in larger)


def test_an_image_counts_as_its_tokens_and_not_as_its_bytes() -> None:
    """A megabyte of base64 is one image."""
    small, large = (request(Message("user", (ImagePart(ImageUrl("data:" + "A" * size)),))) for size in (1, 1_000_000))
    assert estimate_prompt(small) == estimate_prompt(large)
    assert estimate_prompt(small).tokens > 700
