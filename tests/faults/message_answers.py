"""From a `Says` and the call it meets to the bytes of an answer in Anthropic's Messages API, piece by piece."""

import json
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from tests.faults.answers import Piece, Response, completion_words, words
from tests.faults.behaviours import Says, Status
from tests.faults.http1 import LAST_CHUNK, chunk, head, whole

_STOP_REASONS = MappingProxyType(
    {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
)
_ERRORS = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
)
_JSON = MappingProxyType({"content-type": "application/json"})
_Block = tuple[dict[str, Any], list[dict[str, Any]]]
"""How a block begins, and its deltas."""


def prompt_tokens(call: dict[str, Any]) -> int:
    """The tokens of a prompt: its words, and two around each turn."""
    texts = [message["content"] for message in call["messages"]]
    texts += [call["system"]] if "system" in call else []
    return sum(2 + len(words(text if isinstance(text, str) else json.dumps(text))) for text in texts)


def respond(says: Says, call: dict[str, Any]) -> Response:
    """The response to a call."""
    return _streamed(says, call) if call.get("stream") else _unstreamed(says, call)


def counted(call: dict[str, Any]) -> bytes:
    """The response to a call that only counts."""
    return whole(200, json.dumps({"input_tokens": prompt_tokens(call)}).encode(), dict(_JSON))


def failed(status: Status) -> bytes:
    """A status with this API's error body, or with another one that was asked for."""
    error = {"type": status.code or _ERRORS.get(status.status, "api_error"), "message": status.message}
    body = json.dumps({"type": "error", "error": error, "request_id": "req_fault"})
    return whole(status.status, (body if status.body is None else status.body).encode(), {**_JSON, **status.headers})


def counts(says: Says, call: dict[str, Any]) -> tuple[int, int]:
    """The tokens of a prompt and of its whole answer, as the invoice charges them."""
    prompt = prompt_tokens(call) if says.prompt_tokens is None else says.prompt_tokens
    return prompt, completion_words(says, {}) if says.completion_tokens is None else says.completion_tokens


def usage(says: Says, call: dict[str, Any]) -> dict[str, Any]:
    """The usage of a whole answer, as the answer states it; its prompt is without what was read from the cache."""
    prompt, completion = counts(says, call)
    return {
        "input_tokens": prompt - says.cached_tokens,
        "cache_read_input_tokens": says.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": completion,
    }


def _unstreamed(says: Says, call: dict[str, Any]) -> Response:
    body = _message(says, call, [_filled(*block) for block in _blocks(says)], _stop(says, call))
    raw = json.dumps(body | ({"usage": usage(says, call)} if says.usage == "given" else {})).encode()
    response = whole(200, raw, {**_JSON, **says.headers})
    start, middle = len(response) - len(raw), len(response) - len(raw) // 2
    count = completion_words(says, {})
    return Response(Piece(response[:start]), (Piece(response[start:middle], count),), Piece(response[middle:]), {})


def _streamed(says: Says, call: dict[str, Any]) -> Response:
    headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **says.headers}
    early = {} if says.usage == "missing" else {"usage": {**usage(says, call), "output_tokens": 1}}
    late = {} if says.usage == "missing" else {"usage": {"output_tokens": usage(says, call)["output_tokens"]}}
    start = _event("message_start", message=_message(says, call, [], {}) | early) + _event("ping")
    finish = _event("message_delta", delta=_stop(says, call), **late)
    stop = _event("message_stop")
    error = _event("error", error={"type": "overloaded_error", "message": "the provider's own words"})
    return Response(
        Piece(head(200, headers)),
        tuple(_pieces(says, start)),
        Piece(finish + stop + LAST_CHUNK),
        {
            "eof": finish + LAST_CHUNK,
            "unfinished": LAST_CHUNK,
            "done_unfinished": stop + LAST_CHUNK,
            "error": error + LAST_CHUNK,
        },
    )


def _pieces(says: Says, before: bytes) -> Iterator[Piece]:
    """A delta each; what nobody pays for goes with the first one after it, or with the last one before it."""
    for index, (block, deltas) in enumerate(_blocks(says)):
        before += _event("content_block_start", index=index, content_block=block)
        for number, delta in enumerate(deltas, start=1):
            after = _event("content_block_stop", index=index) if number == len(deltas) else b""
            yield Piece(before + _event("content_block_delta", index=index, delta=delta) + after, 1)
            before = b""


def _blocks(says: Says) -> Iterator[_Block]:
    """What an answer is made of."""
    if says.reasoning is not None:
        thoughts = [{"type": "thinking_delta", "thinking": word} for word in words(says.reasoning)]
        signed = {"type": "signature_delta", "signature": "signed-by-the-provider"}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
    for text in (None if says.tools or says.refusal else says.text, says.refusal):
        if text:
            yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words(text)]
    for number, tool in enumerate(says.tools):
        pieces = [{"type": "input_json_delta", "partial_json": word} for word in words(tool.arguments)]
        yield {"type": "tool_use", "id": f"toolu_{number}", "name": tool.name, "input": {}}, pieces


def _filled(block: dict[str, Any], deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """A block as it is after its last delta."""
    if block["type"] == "tool_use":
        return {**block, "input": json.loads("".join(delta["partial_json"] for delta in deltas))}
    found = dict(block)
    for delta in deltas:
        for name in delta.keys() - {"type"}:
            found[name] += delta[name]
    return found


def _message(says: Says, call: dict[str, Any], content: list[dict[str, Any]], stop: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_fault",
        "type": "message",
        "role": "assistant",
        "model": says.model or call["model"],
        "content": content,
        **(stop or {"stop_reason": None, "stop_sequence": None}),
    }


def _stop(says: Says, call: dict[str, Any]) -> dict[str, Any]:
    """A stop string that ended the answer is the first that was asked for."""
    reason = _STOP_REASONS.get(says.finish_reason, says.finish_reason)
    if says.tools and reason == "end_turn":
        reason = "tool_use"
    if says.refusal:
        reason = "refusal"
    return {"stop_reason": reason, "stop_sequence": call["stop_sequences"][0] if reason == "stop_sequence" else None}


def _event(kind: str, **fields: Any) -> bytes:
    return chunk(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())
