"""What OpenAI's chat API takes, by the request types of the official package, with no field that those do not know."""

from collections.abc import Mapping
from typing import Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from tests.faults.typed import close, problem


class ChatTypes:
    """Checks bodies. Making one takes a moment."""

    def __init__(self) -> None:
        close("openai.types")
        self._whole = TypeAdapter[Any](CompletionCreateParamsNonStreaming)
        self._streamed = TypeAdapter[Any](CompletionCreateParamsStreaming)

    def problem(self, body: Mapping[str, Any]) -> str | None:
        """What is wrong with a body, beginning with where; None when nothing is."""
        return problem(self._streamed if body.get("stream") else self._whole, body)
