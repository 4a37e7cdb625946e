"""YAML text to PyYAML's nodes, within limits, and PyYAML's complaints in plain words.

No complaint repeats the text it complains of: the line may hold a secret.
"""

import re

import yaml
from yaml.reader import Reader

from gateway.config.findings import Mark
from gateway.errors import ForebayError

MAX_DEPTH = 32
MAX_VALUES = 20_000

# In a flow mapping YAML takes the braces of `${NAME}` for its own, and `{api_key: ${NAME}}` would have to be quoted.
# While PyYAML reads, each ASCII character of a reference stands _OFFSET higher, where YAML sees nothing but letters.
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^{}\"'\\\r\n]*)?\}")
_OFFSET = 0xE000
_ASCII = re.compile(r"[\x20-\x7e]")
_HIDDEN = re.compile(r"[\ue020-\ue07e]")

# How PyYAML's complaint begins, what it means, and whether the beginning of the construct is the better place to look.
_COMPLAINTS = (
    ("mapping values are not allowed", "a second colon in one line, or wrong indentation; quote the text", False),
    ("found character '\\t'", "a tab; indent with spaces", False),
    ("found character", "a character no value can begin with; quote the text", False),
    ("could not find expected ':'", "a line that is no `key: value`; is the colon and the space there?", True),
    ("found unexpected end of stream", "a quotation mark that is never closed", True),
    ("found unexpected document separator", "a quotation mark that is never closed", True),
    ("found unknown escape", "an unknown escape; within '…' a backslash is just a backslash", False),
    ("expected escape sequence", "an incomplete escape; within '…' a backslash is just a backslash", False),
    ("expected <block end>", "indentation that fits none of the lines above", False),
    ("expected ',' or '}'", "expected , or } here; is a comma, a brace or a quotation mark missing?", False),
    ("expected ',' or ']'", "expected , or ] here; is a comma, a bracket or a quotation mark missing?", False),
    ("expected the node content", "expected a value here", False),
    ("sequence entries are not allowed", "a list item where none can stand; is its indentation right?", False),
    ("but found another document", "a second document; a file holds one, so remove the line ---", False),
    ("expected '<document start>'", "text outside of the document; is a key not at the beginning of its line?", False),
    ("found undefined alias", "an alias (*) whose anchor (&) is not above it; quote text that begins with *", False),
    ("second occurrence", "an anchor (&) that is defined twice", False),
)


class Illegible(ForebayError):
    """Text that is no tree: nothing further can be said about the file."""

    def __init__(self, message: str, mark: Mark) -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark


def composed(text: str) -> yaml.Node | None:
    """The root node, None for a text without content. Raises Illegible.

    References stand in scalars and keys in disguise: pass them through `restored`.
    """
    _refuse_unprintable(text)
    loader = _Composer(_REFERENCE.sub(_disguised, text))
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _explained(error) from None
    except (ValueError, OverflowError):
        # PyYAML hands an escape beyond Unicode, \UFFFFFFFF, to chr() as it is.
        raise Illegible("an escape that stands for no character", mark_of(loader.get_mark())) from None
    finally:
        loader.dispose()


def restored(text: str) -> str:
    """`text` with its references as they were written."""
    return _HIDDEN.sub(lambda match: chr(ord(match[0]) - _OFFSET), text)


def mark_of(mark: yaml.Mark) -> Mark:
    """PyYAML counts from 0, people from 1."""
    return Mark(mark.line + 1, mark.column + 1)


def mark_at(text: str, index: int) -> Mark:
    """The place of a character."""
    line_start = text.rfind("\n", 0, index) + 1
    return Mark(text.count("\n", 0, index) + 1, index - line_start + 1)


def _disguised(reference: re.Match[str]) -> str:
    return _ASCII.sub(lambda match: chr(ord(match[0]) + _OFFSET), reference[0])


def _refuse_unprintable(text: str) -> None:
    bad = Reader.NON_PRINTABLE.search(text) or _HIDDEN.search(text)
    if bad is not None:
        code = f"U+{ord(bad[0]):04X}"
        raise Illegible(f"the character {code}, which text files do not have", mark_at(text, bad.start()))


def _explained(error: yaml.MarkedYAMLError) -> Illegible:
    problem = error.problem or ""
    words, at_beginning = "no valid YAML", False
    for beginning, meaning, earlier in _COMPLAINTS:
        if problem.startswith(beginning):
            words, at_beginning = meaning, earlier
            break
    marks = (error.context_mark, error.problem_mark) if at_beginning else (error.problem_mark, error.context_mark)
    mark = marks[0] or marks[1]
    return Illegible(words, Mark(1, 1) if mark is None else mark_of(mark))


class _Composer(yaml.SafeLoader):
    """A loader that stops early: PyYAML takes quadratic time over deep nesting, and any time over many values."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node with all below it."""
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise Illegible(f"more than {MAX_DEPTH} levels of nesting", mark_of(self.get_mark()))
        if self._nodes > 2 * MAX_VALUES:
            raise Illegible(f"more than {MAX_VALUES} values", mark_of(self.get_mark()))
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node
