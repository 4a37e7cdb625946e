"""Pieces of a streamed answer, and the whole answer they amount to."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.messages import Choice, Delta, FunctionCall, TokenLogprob, ToolCall, ToolCallDelta, Usage, UsageQuality
from gateway.transcript import Transcript
from tests.gateway.wire.answers import DELTAS

USAGE = Usage(3, 4, quality=UsageQuality.EXACT)


def collected(*deltas: Delta) -> Transcript:
    """A transcript of these pieces."""
    transcript = Transcript()
    transcript.extend(deltas)
    return transcript


def choices(*deltas: Delta) -> tuple[Choice, ...]:
    """The choices these pieces amount to."""
    return collected(*deltas).completion("m", USAGE).choices


def test_pieces_of_a_text_are_joined() -> None:
    """In order, with what came beside them; the finish reason is the last that was said."""
    found = choices(
        Delta(text=""), Delta(reasoning="hm"), Delta(text="a"), Delta(text="b"), Delta(finish_reason="stop")
    )
    assert found == (Choice(text="ab", reasoning="hm", finish_reason="stop"),)


def test_the_stop_string_is_kept() -> None:
    """It comes with the finish reason, and none is not an empty one."""
    assert choices(Delta(text="a"), Delta(finish_reason="stop", stop_sequence="END"))[0].stop_sequence == "END"
    assert choices(Delta(text="a"), Delta(finish_reason="stop"))[0].stop_sequence is None


def test_absent_is_not_empty() -> None:
    """An answer without text has none; one whose text is empty has an empty one; one under way has no end."""
    assert choices(Delta(finish_reason="stop"))[0].text is None
    assert choices(Delta(text=""))[0].text == ""
    assert choices(Delta(text="a"))[0].finish_reason == ""
    assert choices() == ()


def test_choices_are_kept_apart() -> None:
    """However their pieces are mixed; they stand in the order of their index."""
    found = choices(Delta(index=1, text="b"), Delta(text="a"), Delta(index=1, finish_reason="length"), Delta(text="A"))
    assert [(each.index, each.text, each.finish_reason) for each in found] == [(0, "aA", ""), (1, "b", "length")]


def test_tool_calls_are_put_together() -> None:
    """Id and name from where they stood, arguments joined; several calls by their index."""
    found = choices(
        Delta(tool_calls=(ToolCallDelta(0, "c0", "f", ""),)),
        Delta(tool_calls=(ToolCallDelta(1, "c1", "g", "{"), ToolCallDelta(0, arguments='{"a":'))),
        Delta(tool_calls=(ToolCallDelta(0, arguments="1}"), ToolCallDelta(1, arguments="}"))),
    )
    assert found[0].tool_calls == (
        ToolCall("c0", FunctionCall("f", '{"a":1}')),
        ToolCall("c1", FunctionCall("g", "{}")),
    )


def test_tokens_are_counted_where_they_are_told() -> None:
    """Where logprobs came they say how many tokens a piece has; else a piece is one, if it says anything."""
    token = TokenLogprob("a", -1.0)
    told = collected(Delta(text="abc", logprobs=(token, token, token)), Delta(text="d", logprobs=(token,)))
    assert told.tokens == 4
    untold = collected(Delta(text=""), Delta(text="abc"), Delta(reasoning="r"), Delta(finish_reason="stop"))
    assert untold.tokens == 2


@given(st.lists(DELTAS, max_size=8))
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost(deltas: list[Delta]) -> None:
    """Every character and every token of every piece is in the whole answer, once and in order."""
    found = {choice.index: choice for choice in choices(*deltas)}
    assert set(found) == {delta.index for delta in deltas}
    for index, choice in found.items():
        mine = [delta for delta in deltas if delta.index == index]
        assert (choice.text or "") == "".join(delta.text or "" for delta in mine)
        assert (choice.refusal or "") == "".join(delta.refusal or "" for delta in mine)
        assert list(choice.logprobs or ()) == [token for delta in mine for token in delta.logprobs or ()]
