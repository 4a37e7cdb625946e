"""A streamed answer as far as it has come, and the whole answer it amounts to."""

from collections.abc import Collection, Iterable

from gateway.messages import Choice, Completion, Delta, FunctionCall, TokenLogprob, ToolCall, Usage


class Transcript:
    """Collects pieces. Appending and counting is all that happens per piece; the rest is done when somebody asks."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.tokens = 0
        """Tokens seen so far: counted where logprobs came, else one per piece that says something, which is what
        backends send.
        """

    def extend(self, deltas: Collection[Delta]) -> int:
        """Take note of more pieces, and tell how many tokens they are."""
        tokens = 0
        for delta in deltas:
            if delta.logprobs:
                tokens += len(delta.logprobs)
            elif delta.says_something:
                tokens += 1
        self.deltas += deltas
        self.tokens += tokens
        return tokens

    def completion(self, model: str, usage: Usage) -> Completion:
        """What has come, as a whole answer; a choice still under way has the finish reason ""."""
        by_choice: dict[int, list[Delta]] = {}
        for delta in self.deltas:
            by_choice.setdefault(delta.index, []).append(delta)
        choices = tuple(_choice(index, deltas) for index, deltas in sorted(by_choice.items()))
        return Completion(model=model, choices=choices, usage=usage)


def _choice(index: int, deltas: list[Delta]) -> Choice:
    logprobs: list[TokenLogprob] = []
    for delta in deltas:
        if delta.logprobs:
            logprobs += delta.logprobs
    return Choice(
        index=index,
        text=_join([delta.text for delta in deltas]),
        refusal=_join([delta.refusal for delta in deltas]),
        reasoning=_join([delta.reasoning for delta in deltas]),
        tool_calls=_tool_calls(deltas),
        finish_reason=next((delta.finish_reason for delta in reversed(deltas) if delta.finish_reason), ""),
        logprobs=tuple(logprobs) or None,
        stop_sequence=next((delta.stop_sequence for delta in deltas if delta.stop_sequence is not None), None),
    )


def _join(pieces: Iterable[str | None]) -> str | None:
    found = [piece for piece in pieces if piece is not None]
    return "".join(found) if found else None


def _tool_calls(deltas: list[Delta]) -> tuple[ToolCall, ...]:
    calls: dict[int, tuple[str, str, str]] = {}
    for delta in deltas:
        for piece in delta.tool_calls:
            call_id, name, arguments = calls.get(piece.index, ("", "", ""))
            calls[piece.index] = (
                piece.id or call_id,
                piece.name or name,
                arguments + (piece.arguments or ""),
            )
    return tuple(
        ToolCall(call_id, FunctionCall(name, arguments)) for _, (call_id, name, arguments) in sorted(calls.items())
    )
