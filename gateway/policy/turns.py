"""Which turns of a conversation that is too long are dropped first, and which never.

An exchange is a user's turn and all that follows up to the next user's. Whole exchanges go first, the oldest first, so
that what is left begins with a user's turn, as models expect. Then, of the last exchange, what lies between its
question and its last step: calls of tools, each with its results. Instructions, the last question and the last step
stay.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from types import MappingProxyType

from gateway.blocks import ToolResultBlock, Turn
from gateway.messages import Message


class Kind(Enum):
    """What a turn is to its neighbours."""

    INSTRUCTION = auto()
    USER = auto()
    ASSISTANT = auto()
    RESULT = auto()


Group = tuple[int, ...]
"""Positions of turns that stay or go together."""

_KINDS = MappingProxyType(
    {
        "system": Kind.INSTRUCTION,
        "developer": Kind.INSTRUCTION,
        "user": Kind.USER,
        "assistant": Kind.ASSISTANT,
        "tool": Kind.RESULT,
    }
)


def kind_of_message(message: Message) -> Kind:
    """Of a turn in OpenAI's words."""
    return _KINDS[message.role]


def kind_of_turn(turn: Turn) -> Kind:
    """Of a turn in Anthropic's words; one that gives results is no new question, whatever else it says."""
    if turn.role == "system":
        return Kind.INSTRUCTION
    if turn.role == "assistant":
        return Kind.ASSISTANT
    gives = not isinstance(turn.content, str) and any(isinstance(each, ToolResultBlock) for each in turn.content)
    return Kind.RESULT if gives else Kind.USER


def droppable(kinds: Sequence[Kind]) -> list[Group]:
    """What may be dropped, in the order in which it should be."""
    talk = [position for position, kind in enumerate(kinds) if kind is not Kind.INSTRUCTION]
    questions = [position for position in talk if kinds[position] is Kind.USER]
    last = questions[-1] if questions else -1
    exchanges = _grouped(kinds, (position for position in talk if position < last), begins=Kind.USER)
    steps = _grouped(kinds, (position for position in talk if position > last), begins=Kind.ASSISTANT)
    return [*exchanges, *steps[:-1]]


def _grouped(kinds: Sequence[Kind], positions: Iterable[int], begins: Kind) -> list[Group]:
    groups: list[list[int]] = []
    for position in positions:
        if kinds[position] is begins or not groups:
            groups.append([])
        groups[-1].append(position)
    return [tuple(group) for group in groups]
