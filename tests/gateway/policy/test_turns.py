"""Which turns a conversation that is too long loses, in which order, and which it never loses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blocks import TextBlock, ToolResultBlock, ToolUseBlock, Turn
from gateway.messages import FunctionCall, Message, ToolCall
from gateway.policy.turns import Kind, droppable, kind_of_message, kind_of_turn

LETTERS = {"s": Kind.INSTRUCTION, "u": Kind.USER, "a": Kind.ASSISTANT, "t": Kind.RESULT}

TABLE: list[tuple[str, list[tuple[int, ...]]]] = [
    ("", []),
    ("s", []),
    ("u", []),
    ("su", []),
    ("ua", []),
    ("suaua", [(1, 2)]),
    ("suauau", [(1, 2), (3, 4)]),
    ("usau", [(0, 2)]),
    ("uu", [(0,)]),
    ("auau", [(0,), (1, 2)]),
    ("uattau", [(0, 1, 2, 3, 4)]),
    ("uat", []),
    ("uatat", [(1, 2)]),
    ("uattatta", [(1, 2, 3), (4, 5, 6)]),
    ("suauatsat", [(1, 2), (4, 5)]),
    ("aaa", [(0,), (1,)]),
    ("ut", []),
    ("uta", [(1,)]),
]
"""Turns of a conversation, and what it may lose, in this order."""


@pytest.mark.parametrize(("turns", "dropped"), TABLE)
def test_the_oldest_go_first(turns: str, dropped: list[tuple[int, ...]]) -> None:
    """Whole exchanges, then the steps between the last question and the last step."""
    assert droppable([LETTERS[each] for each in turns]) == dropped


@given(st.text("suat", max_size=30), st.integers(0, 30))
def test_whatever_is_dropped_what_matters_stays(turns: str, count: int) -> None:
    """Instructions, the last question and the last turn stay; no result of a tool is left without its call."""
    kinds = [LETTERS[each] for each in turns]
    gone = {position for group in droppable(kinds)[:count] for position in group}
    kept = [position for position in range(len(kinds)) if position not in gone]
    questions = [position for position, kind in enumerate(kinds) if kind is Kind.USER]
    assert all(position in kept for position, kind in enumerate(kinds) if kind is Kind.INSTRUCTION)
    assert not questions or questions[-1] in kept
    talk = [position for position, kind in enumerate(kinds) if kind is not Kind.INSTRUCTION]
    assert not talk or talk[-1] in kept
    calls = {position: _call_of(kinds, position) for position in kept if kinds[position] is Kind.RESULT}
    assert all(call is None or call in kept for call in calls.values())
    if gone and questions:
        first = next(position for position in kept if kinds[position] is not Kind.INSTRUCTION)
        assert kinds[first] is Kind.USER or not any(position in gone for position in range(first))


def _call_of(kinds: list[Kind], position: int) -> int | None:
    """The assistant's turn that a result belongs to; None where a user's turn comes between, or there is none."""
    for earlier in range(position - 1, -1, -1):
        if kinds[earlier] is Kind.ASSISTANT:
            return earlier
        if kinds[earlier] is Kind.USER:
            return None
    return None


def test_what_each_role_is() -> None:
    """Developers instruct as systems do; an assistant's turn is one whether it calls or speaks."""
    call = ToolCall("c-1", FunctionCall("f", "{}"))
    kinds = {
        Message("system", "x"): Kind.INSTRUCTION,
        Message("developer", "x"): Kind.INSTRUCTION,
        Message("user", "x"): Kind.USER,
        Message("assistant", "x"): Kind.ASSISTANT,
        Message("assistant", tool_calls=(call,)): Kind.ASSISTANT,
        Message("tool", "x", tool_call_id="c-1"): Kind.RESULT,
    }
    assert {message: kind_of_message(message) for message in kinds} == kinds


def test_what_each_turn_of_anthropics_api_is() -> None:
    """Results come in a user's turn, which is no new question for that."""
    result = ToolResultBlock("c-1", "4")
    kinds = {
        Turn("system", "x"): Kind.INSTRUCTION,
        Turn("user", "x"): Kind.USER,
        Turn("user", (TextBlock("x"),)): Kind.USER,
        Turn("user", (result, TextBlock("x"))): Kind.RESULT,
        Turn("assistant", "x"): Kind.ASSISTANT,
    }
    assert {turn: kind_of_turn(turn) for turn in kinds} == kinds
    assert kind_of_turn(Turn("assistant", (ToolUseBlock("c-1", "f", {}),))) is Kind.ASSISTANT
