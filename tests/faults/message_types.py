"""What Anthropic's API takes, by the request types of the official package, with no field that those do not know."""

from collections.abc import Mapping
from typing import Any

import anthropic.types
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter

from tests.faults.typed import close, problem

# Part of the API, and refused by models newer than the package's types, which have them no more.
OF_OLDER_MODELS = ("temperature", "top_p", "top_k")


class MessageTypes:
    """Checks bodies. Making one takes a moment."""

    def __init__(self) -> None:
        close("anthropic.types")
        self._whole = TypeAdapter[Any](MessageCreateParamsNonStreaming)
        self._streamed = TypeAdapter[Any](MessageCreateParamsStreaming)
        self._counted = TypeAdapter[Any](anthropic.types.MessageCountTokensParams)
        self._block = TypeAdapter[Any](anthropic.types.ContentBlockParam)

    def problem(self, body: Mapping[str, Any], *, count: bool = False) -> str | None:
        """What is wrong with a body, beginning with where; None when nothing is."""
        known = {name: value for name, value in body.items() if count or name not in OF_OLDER_MODELS}
        adapter = self._counted if count else self._streamed if body.get("stream") else self._whole
        # The types of turns also let in what answers are made of, and those let in anything.
        found = problem(adapter, known)
        turns = [] if found else [turn["content"] for turn in body["messages"] if isinstance(turn["content"], list)]
        wrong = (problem(self._block, block) for blocks in turns for block in blocks)
        return found or next(filter(None, wrong), None)
