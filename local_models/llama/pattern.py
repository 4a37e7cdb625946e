"""The `pattern` keyword: regular expressions of ECMA-262, as far as they are regular, into an arena. Pure.

Understood: literals, `.`, classes, `\\d \\w \\s` and their opposites, control, hex and unicode escapes, groups
(capturing, non-capturing, named), alternatives, quantifiers, and the anchors `^` and `$` at the two ends of an
alternative. A pattern without anchors may match anywhere, as JSON Schema says. Refused by name: look-around,
back-references, word boundaries, property classes. Where dialects disagree (does `\\d` mean Arabic-Indic digits?) the
smaller set is taken, so that what is generated matches in every dialect.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from local_models.llama.characters import EVERY, Range, Ranges, complement, overlap, union
from local_models.llama.errors import KeywordError, SchemaError
from local_models.llama.regular import EMPTY, Arena, Expression

MAX_PATTERN: Final = 1_000
"""Characters in one pattern."""
MAX_REPEAT: Final = 1_000
"""A quantifier's largest count."""
_MAX_GROUPS: Final = 32

_PRINTABLE: Final[Ranges] = ((0x20, 0x7E),)
_LINE_ENDS: Final[Ranges] = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CLASSES: Final[Mapping[str, Ranges]] = MappingProxyType(
    {
        "d": ((0x30, 0x39),),
        "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
        "s": ((0x09, 0x0D), (0x20, 0x20)),
    }
)
_CONTROLS: Final[Mapping[str, int]] = MappingProxyType({"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0})


class _Parser:
    """Recursive descent over one pattern; `at` is the next character."""

    def __init__(self, text: str, arena: Arena) -> None:
        self.text = text
        self.arena = arena
        self.at = 0
        self.groups = 0

    def peek(self) -> str:
        """The next character, or "" at the end."""
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> bool:
        """Step over `expected` if it comes next."""
        found = self.text.startswith(expected, self.at)
        self.at += len(expected) if found else 0
        return found

    def fail(self, why: str) -> SchemaError:
        """The error for what stands at this place."""
        return SchemaError(self._at(why))

    def unsupported(self, why: str) -> KeywordError:
        """The error for what other dialects of regular expressions know."""
        return KeywordError(self._at(why))

    def _at(self, why: str) -> str:
        return f"pattern {self.text!r}: {why} (character {self.at + 1})"

    def whole(self) -> Expression:
        """The top level: alternatives, each anchored at its ends or open there."""
        anything = self.arena.repeat(self.arena.chars(EVERY), 0, None)
        choices = []
        while True:
            before = EMPTY if self.take("^") else anything
            middle = self.sequence()
            after = EMPTY if self.take("$") else anything
            choices.append(self.arena.seq(before, middle, after))
            if not self.take("|"):
                break
        if self.at < len(self.text):
            raise self.unsupported(f"{self.peek()!r} is not supported here")
        return self.arena.alt(*choices)

    def sequence(self) -> Expression:
        """Quantified atoms up to an alternative, a closing parenthesis, an anchor or the end."""
        parts = []
        while self.peek() not in ("", "|", ")", "$", "^"):
            parts.append(self.quantified(self.atom()))
        return self.arena.seq(*parts)

    def quantified(self, inner: Expression) -> Expression:
        """`inner` with the quantifiers that follow it; laziness does not change which texts match."""
        bounds = self.bounds()
        if bounds is None:
            return inner
        self.take("?")
        if self.peek() in ("*", "+", "?") or (self.peek() == "{" and self._braces() is not None):
            raise self.unsupported("a quantifier after a quantifier is not supported")
        return self.arena.repeat(inner, *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        """Least and most of the quantifier that comes next, if one does."""
        for sign, simple in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(sign):
                return simple
        braces = self._braces()
        if braces is None:
            return None
        end, low, high = braces
        if max(len(low), len(high)) > 6 or max(int(low), int(high or 0)) > MAX_REPEAT:
            raise self.fail(f"the count is over the limit of {MAX_REPEAT:,}")
        if high and int(high) < int(low):
            raise self.fail("the counts are the wrong way round")
        self.at = end
        return int(low), int(high) if high else None

    def _braces(self) -> tuple[int, str, str] | None:
        """Where a `{m}`, `{m,}` or `{m,n}` that begins here ends, with m and n as written; other braces are literal."""
        end = self.text.find("}", self.at)
        if self.peek() != "{" or end < 0:
            return None
        low, comma, high = self.text[self.at + 1 : end].partition(",")
        digits = (low + high).isascii() and (low + high).isdigit() and low != ""
        return (end + 1, low, high if comma else low) if digits else None

    def atom(self) -> Expression:
        """One unit that a quantifier may follow."""
        character = self.peek()
        if character == "(":
            return self.group()
        if character == "[":
            return self.arena.chars(self.bracket())
        if character in "*+?":
            raise self.fail("nothing to repeat")
        self.at += 1
        if character == ".":
            return self.arena.chars(complement(_LINE_ENDS))
        if character == "\\":
            return self.arena.chars(self.escape())
        return self.arena.literal(character)

    def group(self) -> Expression:
        """A group in parentheses."""
        self.groups += 1
        if self.groups > _MAX_GROUPS:
            raise self.fail(f"more than the limit of {_MAX_GROUPS} groups")
        self.take("(")
        if self.take("?") and not self.take(":"):
            end = self.text.find(">", self.at)
            named = self.text[self.at + 1 : end] if self.peek() == "<" and end > 0 else ""
            if not named.isidentifier():
                raise self.unsupported("look-around and inline flags are not supported")
            self.at = end + 1
        choices = [self.sequence()]
        while self.take("|"):
            choices.append(self.sequence())
        if not self.take(")"):
            raise self.unsupported("an anchor inside a group or an unclosed group is not supported")
        return self.arena.alt(*choices)

    def bracket(self) -> Ranges:
        """A class in brackets."""
        self.take("[")
        negated = self.take("^")
        found: list[Range] = []
        while not self.take("]"):
            low = self.member()
            if (
                len(low) == 1
                and low[0][0] == low[0][1]
                and self.peek() == "-"
                and not self.text.startswith("-]", self.at)
            ):
                self.take("-")
                high = self.member()
                if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                    raise self.fail("not a range")
                low = ((low[0][0], high[0][0]),)
            found.extend(low)
        ranges = overlap(union(found), EVERY)
        return complement(ranges) if negated else ranges

    def member(self) -> Ranges:
        """One character or escape inside brackets."""
        character = self.peek()
        if not character:
            raise self.fail("a bracket is not closed")
        self.at += 1
        if character != "\\":
            return ((ord(character), ord(character)),)
        return ((8, 8),) if self.take("b") else self.escape()

    def escape(self) -> Ranges:
        """What stands after a backslash."""
        character = self.peek()
        self.at += 1
        if character in _CLASSES:
            return _CLASSES[character]
        if character.lower() in _CLASSES:
            return overlap(complement(_CLASSES[character.lower()]), _PRINTABLE)
        if character in _CONTROLS and not (character == "0" and self.peek().isdigit()):
            code = _CONTROLS[character]
        elif character in ("x", "u"):
            code = self._hex(2 if character == "x" else 4)
        elif character and character.isascii() and not character.isalnum():
            code = ord(character)
        else:
            raise self.unsupported(f"\\{character} is not supported")
        return ((code, code),)

    def _hex(self, digits: int) -> int:
        text = self.text[self.at : self.at + digits]
        try:
            code = int(text, 16) if len(text) == digits else -1
        except ValueError:
            code = -1
        if code < 0 or 0xD800 <= code <= 0xDFFF:
            raise self.fail("not a character escape")
        self.at += digits
        return code


def compile_pattern(text: str, arena: Arena) -> Expression:
    """The strings (before JSON escaping) that `text` matches. Raises SchemaError naming what is not supported."""
    if len(text) > MAX_PATTERN:
        raise SchemaError(f"a pattern of {len(text):,} characters is over the limit of {MAX_PATTERN:,}")
    return _Parser(text, arena).whole()
