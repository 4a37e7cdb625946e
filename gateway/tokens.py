"""How many tokens a prompt has, estimated from what its bytes are made of.

A model's own tokenizer needs about a microsecond per token: too long on the decision path for long prompts,
and a cloud model's is not here at all. The weights below are least-squares fits (of the relative error) to
SmolLM2's tokenizer. Over 3,299 texts of prose, code, JSON, Markdown, prompts and 25 languages the true count is
within 40 % of the estimate for 95 of 100; it is furthest above it, by up to 90 %, for languages that are written
like English without being it, such as Dutch. Other tokenizers differ by less than the error that is stated.
"""

from collections.abc import Iterable

import msgspec

from gateway.messages import ChatRequest, Message, images
from gateway.types import TokenCount

_PER_LETTER = 0.135
_PER_SPACE = 0.534
_PER_LINE = 1.941
_PER_DIGIT = 1.622
_PER_MARK = 0.378
_PER_HIGH_BYTE = 0.775
_PER_WIDE_CHARACTER = -0.564
_PER_DOUBLE_SPACE = -0.791

# A tokenizer made for English cuts other languages into smaller pieces. Accents give Latin ones away: where one
# letter in fifty has one, the whole text is taken to be foreign.
_PER_FOREIGN_LETTER = 0.215
_FOREIGN_FROM = 0.02
_ACCENTED = (b"\xc3", b"\xc4", b"\xc5", b"\xc6", b"\xe1\xba", b"\xe1\xbb")

_ERROR = 0.40

# Chat templates wrap each turn in about four tokens (SmolLM2: <|im_start|>, role, line end, <|im_end|>).
_PER_MESSAGE = 4
# OpenAI bills a 1024x1024 image in high detail as 765 tokens; engines here take fewer.
_PER_IMAGE = 765

_DIGITS = b"0123456789"
_MARKS = bytes(code for code in range(33, 127) if not chr(code).isalnum())
_HIGH = bytes(range(128, 256))


def estimate(text: str) -> TokenCount:
    """Tokens of `text`, with the error that 95 of 100 texts stay within."""
    raw = text.encode(errors="replace")
    size = len(raw)
    ascii_only = len(raw) == len(text)
    low = size if ascii_only else len(raw.translate(None, _HIGH))
    digits = size - len(raw.translate(None, _DIGITS))
    marks = size - len(raw.translate(None, _MARKS))
    spaces, lines = raw.count(b" "), raw.count(b"\n")
    letters = low - digits - marks - spaces - lines
    accented = 0 if ascii_only else sum(map(raw.count, _ACCENTED))
    tokens = (
        _PER_LETTER * letters
        + _PER_FOREIGN_LETTER * min(letters, accented / _FOREIGN_FROM)
        + _PER_SPACE * spaces
        + _PER_LINE * lines
        + _PER_DIGIT * digits
        + _PER_MARK * marks
        + _PER_HIGH_BYTE * (size - low)
        + _PER_WIDE_CHARACTER * (len(text) - low)
        + _PER_DOUBLE_SPACE * raw.count(b"  ")
    )
    # Runs of blanks drive the fit below zero; a token spans sixteen bytes at most in practice.
    tokens = max(tokens, size / 16)
    return TokenCount(round(tokens), round(_ERROR * tokens) + 1)


def estimate_prompt(request: ChatRequest) -> TokenCount:
    """Tokens of everything a request sends: turns, images and tool descriptions."""
    text = "\n".join(_texts(request.messages))
    if request.tools:
        text += msgspec.json.encode(request.tools).decode()
    counted = estimate(text)
    fixed = _PER_MESSAGE * (len(request.messages) + 1) + _PER_IMAGE * len(images(request.messages))
    return TokenCount(counted.tokens + fixed, counted.error)


def _texts(messages: Iterable[Message]) -> Iterable[str]:
    for message in messages:
        yield message.text()
        for call in message.tool_calls or ():
            yield call.function.name
            yield call.function.arguments
