"""What a provider was asked, read off the body it got, in the same words for both APIs."""

import json
from typing import Any

from tests.faults.behaviours import Call

Heard = dict[str, Any]
"""Aspects of a request: system (one text), turns (role and text), calls, results, images, tools, choice, parallel,
schema, stop, limit, effort, user; and sampling, by its own names. What was not said is not there.
"""

_SAMPLING = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "n")


def heard(call: Call) -> Heard:
    """What this call says."""
    body = json.loads(call.body)
    found = _by_messages(body) if call.path == "/v1/messages" else _by_chat(body)
    found |= {name: body.get(name) for name in _SAMPLING}
    return {name: value for name, value in found.items() if value not in (None, [], "")}


def _by_chat(body: dict[str, Any]) -> Heard:
    messages = body["messages"]
    choice = body.get("tool_choice")
    schema = (body.get("response_format") or {}).get("json_schema") or {}
    return {
        "system": "\n\n".join(_text(each["content"]) for each in messages if each["role"] in ("system", "developer")),
        "turns": [
            (each["role"], _text(each["content"]))
            for each in messages
            if each["role"] in ("user", "assistant") and _text(each.get("content"))
        ],
        "calls": [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for each in messages
            for call in each.get("tool_calls") or ()
        ],
        "results": [(each["tool_call_id"], _text(each["content"])) for each in messages if each["role"] == "tool"],
        "images": [
            part["image_url"]["url"]
            for each in messages
            if isinstance(each.get("content"), list)
            for part in each["content"]
            if part["type"] == "image_url"
        ],
        "tools": [tool["function"] for tool in body.get("tools") or ()],
        "choice": choice["function"]["name"] if isinstance(choice, dict) else choice,
        "parallel": body.get("parallel_tool_calls"),
        "schema": schema.get("schema"),
        "stop": body.get("stop"),
        "limit": body.get("max_tokens") or body.get("max_completion_tokens"),
        "effort": body.get("reasoning_effort"),
        "user": body.get("user"),
    }


def _by_messages(body: dict[str, Any]) -> Heard:
    blocks = [
        (turn["role"], block)
        for turn in body["messages"]
        for block in (
            turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
        )
    ]
    of_kind = {
        kind: [block for _, block in blocks if block["type"] == kind] for kind in ("tool_use", "tool_result", "image")
    }
    choice = body.get("tool_choice") or {}
    config = body.get("output_config") or {}
    kind = choice.get("type")
    return {
        "system": _text(body.get("system"), "\n\n"),
        "turns": [(role, block["text"]) for role, block in blocks if block["type"] == "text"],
        "calls": [(block["id"], block["name"], block["input"]) for block in of_kind["tool_use"]],
        "results": [(block["tool_use_id"], _text(block["content"])) for block in of_kind["tool_result"]],
        "images": [_image(block["source"]) for block in of_kind["image"]],
        "tools": [
            {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
            for tool in body.get("tools") or ()
        ],
        "choice": choice.get("name", "required" if kind == "any" else kind),
        "parallel": False if choice.get("disable_parallel_tool_use") else None,
        "schema": (config.get("format") or {}).get("schema"),
        "stop": body.get("stop_sequences"),
        "limit": body["max_tokens"],
        "effort": config.get("effort"),
        "user": (body.get("metadata") or {}).get("user_id"),
        "thinking": body.get("thinking"),
    }


def _text(content: Any, between: str = "\n") -> str:
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    return between.join(part["text"] for part in parts if part["type"] == "text")


def _image(source: dict[str, str]) -> str:
    return source["url"] if source["type"] == "url" else f"data:{source['media_type']};base64,{source['data']}"
