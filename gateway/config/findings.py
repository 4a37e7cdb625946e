"""A finding: a problem before it has been given a line, and how keys and values are named in one."""

import json
import re
from collections.abc import Iterable

from msgspec import Struct

Path = tuple[str | int, ...]
ROOT: Path = ()

_LONGEST = 60
_LOOKED_AT = 4 * _LONGEST  # more than is shown, and little enough for a search in quadratic time
_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SENSITIVE_KEYS = frozenset({"api_key", "hash"})
# What keys of well-known services look like, and any long run of mixed letters and digits. A person who pastes a key
# into the wrong place shall not find it in a log as well.
_TOKEN = re.compile(
    r"(?<![A-Za-z])(sk|pk|rk|xox[a-z])-|AKIA|gh[pousr]_|eyJ"
    r"|(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}"
)
_REFERENCE = re.compile(r"\$\{[A-Za-z0-9_]+\}")
_NEAR_A_SECRET = re.compile(r"(?i:bearer\s|api_?key|secret|password)|@")
NOT_SHOWN = "(not shown)"


class Mark(Struct, frozen=True, order=True):
    """A place in the text; both count from 1."""

    line: int
    column: int


class Finding(Struct, frozen=True, kw_only=True):
    """Something wrong at `path`.

    `message` may have a `{}` for each of `values`: text from the file that is quoted when the finding is shown, as it
    was written there and not as `${NAME}` made it. `depends` names the other keys the finding was drawn from: where
    one of them is itself at fault, the finding proves nothing and is left out. `mark` overrides the path's place.
    """

    path: Path
    message: str
    values: tuple[str, ...] = ()
    suggestion: str | None = None
    depends: tuple[Path, ...] = ()
    mark: Mark | None = None
    on_key: bool = False


def found(
    path: Path, message: str, *values: str, suggestion: str | None = None, depends: tuple[Path, ...] = ()
) -> Finding:
    """A finding at the value of `path`; see Finding."""
    return Finding(path=path, message=message, values=values, suggestion=suggestion, depends=depends)


def quoted(text: str) -> str:
    """`text` in double quotes: printable, one line, cut at 60 characters, and never something like a secret."""
    if like_a_token(text) or (_NEAR_A_SECRET.search(text, 0, _LOOKED_AT) and not _REFERENCE.fullmatch(text)):
        return NOT_SHOWN
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(short, ensure_ascii=False))


def like_a_token(text: str) -> bool:
    """Whether a text looks as keys of well-known services do."""
    return _TOKEN.search(text, 0, _LOOKED_AT) is not None


def dotted(path: Path) -> str:
    """A path as people write it: `backends.mini.price`, `tiers.light[0]`, `aliases."gpt-4.1"`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _simple(step) else quoted(step))
    return text


def sensitive(path: Path) -> bool:
    """Whether the value at `path` is never repeated, whatever it looks like."""
    return bool(path) and path[-1] in _SENSITIVE_KEYS


def within(paths: Iterable[Path]) -> frozenset[Path]:
    """Every path that one of `paths` lies in, themselves included."""
    return frozenset(path[:length] for path in paths for length in range(len(path) + 1))


def related(path: Path, others: frozenset[Path], around: frozenset[Path]) -> bool:
    """Whether `path` lies in one of `others`, or one of them in it; `around` is `within(others)`."""
    return path in around or not others.isdisjoint(path[:length] for length in range(len(path)))


def _simple(step: str) -> bool:
    return _SIMPLE_KEY.fullmatch(step) is not None and not like_a_token(step)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
