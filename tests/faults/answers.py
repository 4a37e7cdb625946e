"""From a `Says` and the call it meets to the bytes of an answer, piece by piece."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults.behaviours import Says, Status
from tests.faults.http1 import LAST_CHUNK, chunk, head, whole
from tests.faults.texts import as_text, text_logprobs
from tests.faults.vectors import inputs, vectors

_WORD = re.compile(r"\s*\S+(?:\s+\Z)?")
_CREATED = 1_700_000_000
_UNFINISHED = frozenset({"unfinished", "done_unfinished", "error"})


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a response, and how many words of the answer are in them."""

    data: bytes
    words: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """`head` comes first; `ending` is what ends it well, `broken` what stands there instead, by the way it ends."""

    head: Piece
    pieces: tuple[Piece, ...]
    ending: Piece
    broken: dict[str, bytes]


def words(text: str) -> list[str]:
    """The tokens of this server: words with the space before them."""
    return _WORD.findall(text)


def prompt_tokens(call: dict[str, Any]) -> int:
    """The tokens of a prompt: its words, and two around each message; of texts for vectors nothing is around them."""
    if "input" in call:
        return sum(len(words(each)) if isinstance(each, str) else len(each) for each in inputs(call))
    if "prompt" in call:
        return len(words(call["prompt"]))
    texts = [message.get("content") or "" for message in call["messages"]]
    return sum(2 + len(words(text if isinstance(text, str) else json.dumps(text))) for text in texts)


def completion_words(says: Says, call: dict[str, Any]) -> int:
    """The tokens of a whole answer, all choices together; vectors have none."""
    if "input" in call:
        return 0
    tools = sum(len(words(tool.arguments)) + 1 for tool in says.tools)
    one = len(words(says.text or "")) + len(words(says.refusal or "")) + len(words(says.reasoning or "")) + tools
    return one * int(call.get("n") or 1)


def respond(says: Says, call: dict[str, Any]) -> Response:
    """The response to a call."""
    if "input" in call:
        return _whole(says, call, vectors(says, call, usage(says, call)))
    if "prompt" in call:
        call = text_logprobs(call)
    return _streamed(says, call) if call.get("stream") else _unstreamed(says, call)


def failed(status: Status) -> bytes:
    """A status with OpenAI's error body, or with another one that was asked for."""
    error = {"message": status.message, "type": "api_error", "code": status.code, "param": status.param}
    body = json.dumps({"error": error}) if status.body is None else status.body
    return whole(status.status, body.encode(), {"content-type": "application/json", **status.headers})


def counts(says: Says, call: dict[str, Any]) -> tuple[int, int]:
    """The tokens of a prompt and of its whole answer, as the invoice charges them."""
    prompt = prompt_tokens(call) if says.prompt_tokens is None else says.prompt_tokens
    return prompt, completion_words(says, call) if says.completion_tokens is None else says.completion_tokens


def _unstreamed(says: Says, call: dict[str, Any]) -> Response:
    body = {
        "id": "chatcmpl-fault",
        "object": "chat.completion",
        "created": _CREATED,
        "model": says.model or call["model"],
        "choices": [_choice(says, call, index) for index in range(call.get("n") or 1)],
        **({"usage": usage(says, call)} if says.usage == "given" else {}),
    }
    return _whole(says, call, as_text(body) if "prompt" in call else body)


def _whole(says: Says, call: dict[str, Any], body: dict[str, Any]) -> Response:
    raw = json.dumps(body).encode()
    headers = {"content-type": "application/json", **says.headers}
    if says.gzip:
        raw = gzip.compress(raw)
        headers["content-encoding"] = "gzip"
    response = whole(200, raw, headers)
    start, middle = len(response) - len(raw), len(response) - len(raw) // 2
    count = completion_words(says, call)
    return Response(
        Piece(response[:start]),
        (Piece(response[start:middle], count),),
        Piece(response[middle:]),
        {},
    )


def _streamed(says: Says, call: dict[str, Any]) -> Response:
    headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **says.headers}
    if says.gzip:
        headers["content-encoding"] = "gzip"
    choices = range(call.get("n") or 1)
    finish = [_event(says, call, _finish(says, index)) for index in choices]
    wants_usage = (call.get("stream_options") or {}).get("include_usage") and says.usage == "given"
    counted = [_event(says, call, None, usage=usage(says, call))] if wants_usage else []
    done = chunk(b"data: [DONE]\n\n")
    error = chunk(b'data: {"error": {"message": "the provider\'s own words", "code": "server_error"}}\n\n')
    whole_end = b"".join([*finish, *counted])
    return Response(
        Piece(head(200, headers)),
        tuple(_pieces(says, call)),
        Piece(whole_end + done + LAST_CHUNK),
        {
            "eof": whole_end + LAST_CHUNK,
            "unfinished": LAST_CHUNK,
            "done_unfinished": done + LAST_CHUNK,
            "error": error + LAST_CHUNK,
        },
    )


def _pieces(says: Says, call: dict[str, Any]) -> Iterator[Piece]:
    """A word of each choice in turn; the first one is preceded by the role, which nobody pays for."""
    opening = b"".join(
        _event(says, call, {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})
        for index in range(call.get("n") or 1)
    )
    for deltas, tokens in _deltas(says):
        for index in range(call.get("n") or 1):
            choice: dict[str, Any] = {"index": index, "delta": deltas, "finish_reason": None}
            if tokens and (found := _logprobs(says, call, tokens)) is not None:
                choice["logprobs"] = found
            yield Piece(opening + _event(says, call, choice), max(1, len(tokens)))
            opening = b""


def _deltas(says: Says) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each piece of one choice with the tokens that have logprobs."""
    for word in words(says.reasoning or ""):
        yield {"reasoning_content": word}, []
    for word in words(says.text or ""):
        yield {"content": word}, [word]
    for word in words(says.refusal or ""):
        yield {"refusal": word}, []
    for index, tool in enumerate(says.tools):
        named = {"index": index, "id": f"call_{index}", "type": "function"}
        yield {"tool_calls": [{**named, "function": {"name": tool.name, "arguments": ""}}]}, []
        for word in words(tool.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": word}}]}, []


def _finish(says: Says, index: int) -> dict[str, Any]:
    return {"index": index, "delta": {}, "finish_reason": _finish_reason(says)}


def _finish_reason(says: Says) -> str:
    """Of a tool call it is tool_calls."""
    return "tool_calls" if says.tools and says.finish_reason == "stop" else says.finish_reason


def _event(
    says: Says, call: dict[str, Any], choice: dict[str, Any] | None, *, usage: dict[str, Any] | None = None
) -> bytes:
    body = {
        "id": "chatcmpl-fault",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": says.model or call["model"],
        "choices": [] if choice is None else [choice],
        **({} if usage is None else {"usage": usage}),
    }
    return chunk(b"data: " + json.dumps(as_text(body) if "prompt" in call else body).encode() + b"\n\n")


def _choice(says: Says, call: dict[str, Any], index: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if says.tools else says.text}
    if says.refusal is not None:
        message |= {"content": None, "refusal": says.refusal}
    if says.reasoning is not None:
        message["reasoning_content"] = says.reasoning
    if says.tools:
        message["tool_calls"] = [
            {"id": f"call_{n}", "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}}
            for n, tool in enumerate(says.tools)
        ]
    return {
        "index": index,
        "message": message,
        "finish_reason": None if says.ends in _UNFINISHED else _finish_reason(says),
        "logprobs": _logprobs(says, call, words(says.text or "")),
    }


def _logprobs(says: Says, call: dict[str, Any], tokens: list[str]) -> dict[str, Any] | None:
    if not call.get("logprobs") or says.logprob is None:
        return None
    count = int(call.get("top_logprobs") or 0)
    return {"content": [_token(word, says.logprob, count) for word in tokens]}


def _token(word: str, logprob: float, count: int) -> dict[str, Any]:
    """The word itself is the likeliest, so what is said of it is said of the greedy token."""
    others = [(f"{word}~{rank}", logprob - rank) for rank in range(1, count)]
    top = [(word, logprob), *others][:count]
    return {**_entry(word, logprob), "top_logprobs": [_entry(*each) for each in top]}


def _entry(word: str, logprob: float) -> dict[str, Any]:
    return {"token": word, "logprob": logprob, "bytes": list(word.encode())}


def usage(says: Says, call: dict[str, Any]) -> dict[str, Any]:
    """The usage of a whole answer, as the answer states it."""
    prompt, completion = counts(says, call)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": says.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": says.reasoning_tokens},
    }
