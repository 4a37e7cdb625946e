"""What an answer that may call tools says, in the objects of OpenAI's API."""

import uuid

from msgspec import UNSET

from local_models.llama.objects import (
    AssistantMessage,
    CalledFunction,
    ChatDelta,
    FunctionDelta,
    ToolCall,
    ToolCallDelta,
)
from local_models.llama.tools.notation import Notation
from local_models.llama.tools.reader import Arguments, CallBegins, CallReader, Piece, Text


class Speaker:
    """One choice of one answer, whole or in pieces."""

    def __init__(self, notation: Notation) -> None:
        self._reader = CallReader(notation)

    @property
    def calls(self) -> int:
        """Calls that have begun."""
        return self._reader.calls

    def said(self, text: str, *, over: bool) -> ChatDelta:
        """What one more piece of the answer adds; `over`: it is the last one."""
        pieces = self._pieces(text, over=over)
        content = "".join(piece.text for piece in pieces if isinstance(piece, Text))
        calls = [_call_delta(piece) for piece in pieces if not isinstance(piece, Text)]
        return ChatDelta(content=content or UNSET, tool_calls=calls or UNSET)

    def message(self, text: str) -> AssistantMessage:
        """The whole answer."""
        pieces = self._pieces(text, over=True)
        content = "".join(piece.text for piece in pieces if isinstance(piece, Text))
        calls: list[ToolCall] = []
        for piece in pieces:
            if isinstance(piece, CallBegins):
                calls.append(ToolCall(_fresh_id(), CalledFunction(piece.name, "")))
            elif isinstance(piece, Arguments):
                calls[piece.index].function.arguments += piece.text
        return AssistantMessage("assistant", content if content or not calls else None, tool_calls=calls or UNSET)

    def _pieces(self, text: str, *, over: bool) -> list[Piece]:
        pieces = self._reader.feed(text)
        return pieces + self._reader.finish() if over else pieces


def _call_delta(piece: CallBegins | Arguments) -> ToolCallDelta:
    if isinstance(piece, Arguments):
        return ToolCallDelta(piece.index, FunctionDelta(arguments=piece.text))
    return ToolCallDelta(piece.index, FunctionDelta(piece.name, ""), _fresh_id(), "function")


def _fresh_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
