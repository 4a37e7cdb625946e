"""The environment: the one place that reads it, what Forebay takes from it, and `${NAME}` in configuration files."""

import os
import re
from collections.abc import Mapping
from pathlib import Path as FilePath

from msgspec import Struct

from gateway.config.findings import ROOT, Finding, Path
from gateway.config.kinds import SECRET_PATTERN
from gateway.config.positions import Tree, Value
from gateway.config.suggest import nearest

Environ = Mapping[str, str]

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$(\$)?\{{(?:({_NAME})(:-([^{{}}]*))?\}})?")
_SECRET = re.compile(SECRET_PATTERN)


class Substituted(Struct, frozen=True):
    """A tree with its references filled in.

    `written` gives, for each text that came of a reference, the text as it was written, for messages.
    `filled` are the paths of those texts.
    """

    tree: Tree
    written: dict[str, str]
    filled: frozenset[Path]
    findings: tuple[Finding, ...]


def process_environment() -> Environ:
    """The environment of this process, as it is at this moment."""
    return dict(os.environ)


def home(environ: Environ) -> FilePath:
    """FOREBAY_HOME, where models, ledger and logs are kept; `~/.forebay` unless set."""
    return FilePath(environ.get("FOREBAY_HOME") or "~/.forebay").expanduser()


def debug(environ: Environ) -> bool:
    """Whether FOREBAY_DEBUG asks for tracebacks."""
    return environ.get("FOREBAY_DEBUG", "") not in ("", "0")


def no_color(environ: Environ) -> bool:
    """Whether NO_COLOR is set to anything (https://no-color.org)."""
    return environ.get("NO_COLOR", "") != ""


def is_reference(text: str) -> bool:
    """Whether a text is one `${NAME}` and nothing else, no default either."""
    return _SECRET.fullmatch(text) is not None


def plain_secrets(tree: Tree) -> list[Finding]:
    """Every `api_key` that is not exactly one `${NAME}`: a default, too, would be a secret in the file."""
    backends = tree.get("backends")
    named = backends.items() if isinstance(backends, dict) else ()
    return [
        Finding(
            path=("backends", name, "api_key"), message="expected ${NAME}: secrets stand in no file, only their names"
        )
        for name, backend in named
        if isinstance(backend, dict) and isinstance(key := backend.get("api_key"), str) and not is_reference(key)
    ]


def unset(text: str, environ: Environ) -> tuple[str, ...]:
    """The variables `text` needs and does not get. A variable set to nothing counts as unset."""
    needed = (match for match in _references(text) if match[3] is None)
    return tuple(match[2] for match in needed if not environ.get(match[2]))


def substitute(tree: Tree, environ: Environ) -> Substituted:
    """Fill in `${NAME}` and `${NAME:-default}` in every text of `tree`; `$${` stands for `${` itself.

    The default takes effect when the variable is unset or empty, as in a shell. What comes in is text, whatever it
    looks like, and is not looked through for references again.
    """
    filling = _Filling(environ)
    filled = {name: filling.value(value, (name,)) for name, value in tree.items()}
    return Substituted(filled, filling.written, frozenset(filling.filled), tuple(filling.findings))


class _Filling:
    """One walk over a tree."""

    def __init__(self, environ: Environ) -> None:
        self.written: dict[str, str] = {}
        self.filled: set[Path] = set()
        self.findings: list[Finding] = []
        self._environ = environ

    def value(self, value: Value, path: Path = ROOT) -> Value:
        """A value with all the texts within it."""
        if isinstance(value, dict):
            return {name: self.value(item, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, path)
        return value

    def _text(self, text: str, path: Path) -> str:
        missing = unset(text, self._environ)
        for name in missing:
            self._miss(name, path)
        malformed = [match for match in _REFERENCE.finditer(text) if match[1] is None and match[2] is None]
        if malformed:
            self.findings.append(Finding(path=path, message="expected ${NAME} or ${NAME:-default}"))
        unfit = [name for name in _names(text) if _unfit(self._environ.get(name, ""))]
        for name in unfit:
            message = f"the environment variable {name} holds a line break, a control character or no valid UTF-8"
            self.findings.append(Finding(path=path, message=message))
        if missing or malformed or unfit:
            return text
        made = _REFERENCE.sub(self._replacement, text)
        self.written[made] = text
        self.filled.add(path)
        return made

    def _replacement(self, match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[0][1:]
        return self._environ.get(match[2]) or match[4] or ""

    def _miss(self, name: str, path: Path) -> None:
        near = nearest(name, self._environ, cutoff=0.85)
        state = "empty" if name in self._environ else "not set"
        otherwise = "remove this backend" if path[-1] == "api_key" else f"write ${{{name}:-default}}"
        message = f"the environment variable {name} is {state}; set it, or {otherwise}"
        self.findings.append(Finding(path=path, message=message, suggestion=None if near is None else f"${{{near}}}"))


def _references(text: str) -> list[re.Match[str]]:
    return [match for match in _REFERENCE.finditer(text) if match[1] is None and match[2] is not None]


def _names(text: str) -> list[str]:
    return [match[2] for match in _references(text)]


def _unfit(value: str) -> bool:
    return any(c < " " or "\ud800" <= c <= "\udfff" for c in value)
