"""Answers of every shape, drawn at random."""

import msgspec
from hypothesis import strategies as st

from gateway.messages import (
    Choice,
    Completion,
    Delta,
    FunctionCall,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    TopLogprob,
    Usage,
    UsageQuality,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SOME_TEXT = st.none() | TEXT
FULL_TEXT = st.none() | TEXT.filter(bool)
LOGPROB = st.floats(-100, 0)
BYTES = st.sampled_from([msgspec.UNSET, msgspec.Raw(b"[104,105]"), msgspec.Raw(b"null"), msgspec.Raw(b"[]")])
TOPS = st.builds(TopLogprob, TEXT, LOGPROB, BYTES)
TOKENS = st.builds(TokenLogprob, TEXT, LOGPROB, BYTES, st.lists(TOPS, max_size=3).map(tuple))
LOGPROBS = st.none() | st.lists(TOKENS, max_size=3).map(tuple)
CALLS = st.lists(st.builds(ToolCall, TEXT, st.builds(FunctionCall, TEXT, TEXT)), max_size=2).map(tuple)
FINISH = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
CHOICES = st.builds(
    Choice,
    index=st.integers(0, 3),
    text=SOME_TEXT,
    refusal=SOME_TEXT,
    reasoning=FULL_TEXT,
    tool_calls=CALLS,
    finish_reason=FINISH,
    logprobs=LOGPROBS,
)
COUNTS = st.integers(0, 10**9)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, st.just(UsageQuality.EXACT))
COMPLETIONS = st.builds(
    Completion,
    model=TEXT,
    choices=st.lists(CHOICES, min_size=1, max_size=3).map(tuple),
    usage=USAGES,
    fingerprint=st.none() | TEXT,
)
CALL_DELTAS = st.builds(ToolCallDelta, st.integers(0, 3), FULL_TEXT, FULL_TEXT, FULL_TEXT)
DELTAS = st.builds(
    Delta,
    index=st.integers(0, 3),
    text=SOME_TEXT,
    refusal=SOME_TEXT,
    reasoning=FULL_TEXT,
    tool_calls=st.lists(CALL_DELTAS, max_size=2).map(tuple),
    finish_reason=st.none() | FINISH,
    logprobs=LOGPROBS,
)
