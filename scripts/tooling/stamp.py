"""Which parts of the environment are whole, and of what they were made.

The stamp lies in the environment itself and goes with it. A part is struck out before it is changed and
written again when it is whole; whoever finds one struck out knows that a set-up was killed there, and starts
from nothing.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

CHANGING = "changing"


class Stamp:
    """The stamp file of one environment: part → fingerprint."""

    def __init__(self, path: Path) -> None:
        """Read `path`; a missing or damaged one stands for an environment that nobody finished."""
        self.path = path
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        self._parts: dict[str, str] = found if isinstance(found, dict) else {}

    @property
    def trusted(self) -> bool:
        """Whether the last change was finished."""
        return bool(self._parts) and CHANGING not in self._parts

    def holds(self, part: str, fingerprint: str) -> bool:
        """Whether `part` is whole and made of exactly this."""
        return self._parts.get(part) == fingerprint

    def begin(self, part: str) -> None:
        """Strike `part` out: from here to `finish` the environment is not to be trusted."""
        self._parts.pop(part, None)
        self._write({**self._parts, CHANGING: part})

    def finish(self, part: str, fingerprint: str) -> None:
        """Write that `part` is whole."""
        self._parts[part] = fingerprint
        self._write(self._parts)

    def _write(self, parts: Mapping[str, str]) -> None:
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(parts, indent=1, sort_keys=True), encoding="utf-8")
        beside.replace(self.path)


def fingerprint(*facts: str) -> str:
    """One short text for many, sensitive to their order and their borders (sha256, 20 hexadecimal digits)."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


def installed_by(pyproject: str) -> str:
    """What of a pyproject.toml an installation depends on; a changed linter setting reinstalls nothing."""
    tables = tomllib.loads(pyproject)
    return json.dumps([tables.get("build-system"), tables.get("project"), tables.get("tool", {}).get("hatch")])
