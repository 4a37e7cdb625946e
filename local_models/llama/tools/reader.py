"""From the text of an answer back to what it says: plain text, then calls of tools, piece by piece. Pure.

Only white space inside a call may differ from how the family writes it: from its marker on an answer is written under
the family's grammar. What such an answer has left unfinished, because it was cut short, is not made up.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from local_models.llama.tools.markers import MarkerWatch
from local_models.llama.tools.notation import Notation


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegins:
    """The call number `index` is of this tool."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """A piece of the arguments of call number `index`, as JSON text."""

    index: int
    text: str


Piece = Text | CallBegins | Arguments

_QUOTED_HEAD: Final = re.compile(
    r'[^{]*\{\s*"name"\s*:\s*(?P<name>"(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)', re.DOTALL
)


class CallReader:
    """Reads one answer. Feed it, take what it lets out, `finish` it at the end."""

    def __init__(self, notation: Notation) -> None:
        self.calls = 0
        """Calls that have begun."""
        self._notation = notation
        self._watch: MarkerWatch | None = MarkerWatch(notation)
        self._head = _QUOTED_HEAD if notation.quoted else _plain_head(notation)
        self._pending = ""
        self._spoke = False
        self._value: _Value | None = None  # of the call whose arguments are being read

    def feed(self, piece: str) -> list[Piece]:
        """What this piece of the answer lets out."""
        found: list[Piece] = []
        if self._watch is not None:
            piece = self._listen(self._watch, piece, found)
        if self._watch is None:
            self._pending += piece
            while self._read_call(found):
                continue
        return found

    def finish(self) -> list[Piece]:
        """The answer is over: what was held back, as it might have become a marker, is text after all."""
        text, self._pending = self._pending, ""
        return [Text(text)] if text and self._watch is not None and (self._spoke or not text.isspace()) else []

    def _listen(self, watch: MarkerWatch, piece: str, found: list[Piece]) -> str:
        """Let plain text out up to the marker; returns what belongs to the calls."""
        begin = watch.feed(piece)
        if begin is None:
            self._pending += piece
            self._say(len(self._pending) - watch.held, found)
            return ""
        self._pending += piece[: begin.end]
        self._say(len(self._pending) - len(begin.marker), found)
        self._watch, self._pending = None, ""
        return (begin.marker if self._notation.begins_call(begin.marker) else "") + piece[begin.end :]

    def _say(self, length: int, found: list[Piece]) -> None:
        """Let out that much of what waits; white space before the first word waits for the word."""
        text = self._pending[:length]
        if text and (self._spoke or not text.isspace()):
            self._spoke = True
            self._pending = self._pending[length:]
            found.append(Text(text))

    def _read_call(self, found: list[Piece]) -> bool:
        """Read on in a call; True when there may be more to read."""
        if self._value is None:
            match = self._head.match(self._pending)
            if match is None:
                return False
            name = match["name"]
            found.append(CallBegins(self.calls, json.loads(name) if self._notation.quoted else name))
            self.calls += 1
            self._value, self._pending = _Value(), self._pending[match.end() :]
        length = self._value.length(self._pending)
        if length:
            found.append(Arguments(self.calls - 1, self._pending[:length]))
        self._pending = self._pending[length:]
        if not self._value.over:
            return False
        self._value = None
        return True


class _Value:
    """Finds the end of a JSON object that arrives in pieces."""

    def __init__(self) -> None:
        self.over = False
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def length(self, piece: str) -> int:
        """How many characters of `piece` belong to the object."""
        for place, character in enumerate(piece):
            if self._in_string:
                self._in_string = self._escaped or character != '"'
                self._escaped = not self._escaped and character == "\\"
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.over = True
                    return place + 1
        return len(piece)


def _plain_head(notation: Notation) -> re.Pattern[str]:
    """A name that stands there as it is: between the marker, or the last call, and what follows names."""
    before = re.escape(notation.markers[0])
    return re.compile(rf"\s*(?:{before})?\s*(?P<name>[A-Za-z0-9_.:-]+){re.escape(notation.heading[1])}\s*(?=\S)")
