"""Text completions of the fault server: its chats with the choices of the other API."""

from typing import Any


def text_logprobs(call: dict[str, Any]) -> dict[str, Any]:
    """A call of this API with the number of logprobs where a chat has it."""
    wanted = call.get("logprobs")
    return call if wanted is None else {**call, "logprobs": True, "top_logprobs": wanted}


def as_text(body: dict[str, Any]) -> dict[str, Any]:
    """A chat's answer, or an event of it, as one of this API."""
    choices = [_choice(choice) for choice in body["choices"]]
    return {**body, "id": "cmpl-fault", "object": "text_completion", "choices": choices}


def _choice(choice: dict[str, Any]) -> dict[str, Any]:
    said = choice.get("message") or choice["delta"]
    found = choice.get("logprobs")
    return {
        "text": said.get("content") or said.get("refusal") or "",
        "index": choice["index"],
        "finish_reason": choice["finish_reason"],
        "logprobs": None if found is None else _lists(found["content"]),
    }


def _lists(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    """`top_logprobs` are in no order: that is for the reader to make."""
    offsets, end = [], 0
    for token in tokens:
        offsets.append(end)
        end += len(token["token"])
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{each["token"]: each["logprob"] for each in token["top_logprobs"][::-1]} for token in tokens],
        "text_offset": offsets,
    }
