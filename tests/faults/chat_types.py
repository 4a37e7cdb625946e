"""What OpenAI's API takes, by the request types of the official package, with no field that those do not know."""

from collections.abc import Mapping
from typing import Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as TextParams
from openai.types.completion_create_params import CompletionCreateParamsStreaming as StreamedTextParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from pydantic import TypeAdapter

from tests.faults.typed import close, problem


class ChatTypes:
    """Checks bodies of chats, raw prompts and texts for vectors. Making one takes a moment."""

    def __init__(self) -> None:
        close("openai.types")
        self._whole = TypeAdapter[Any](CompletionCreateParamsNonStreaming)
        self._streamed = TypeAdapter[Any](CompletionCreateParamsStreaming)
        self._text = TypeAdapter[Any](TextParams)
        self._streamed_text = TypeAdapter[Any](StreamedTextParams)
        self._vectors = TypeAdapter[Any](EmbeddingCreateParams)

    def problem(self, body: Mapping[str, Any]) -> str | None:
        """What is wrong with a body, beginning with where; None when nothing is."""
        if "input" in body:
            return problem(self._vectors, body)
        if "prompt" in body:
            return problem(self._streamed_text if body.get("stream") else self._text, body)
        return problem(self._streamed if body.get("stream") else self._whole, body)
