"""Environments of what Forebay is measured beside, in the cache: one per program and pins, made once.

Nothing in them is imported here; they are only started. Every file in them is checked by the hash in `pins/`.
"""

import platform
import re
import sysconfig
from pathlib import Path

from scripts.tooling.environment import PIN, one_at_a_time
from scripts.tooling.lock import PinnedFile
from scripts.tooling.places import interpreter
from scripts.tooling.stamp import Stamp, fingerprint
from scripts.tooling.workbench import HASHED, PIP, Workbench

_MADE = "packages"


def version_of(bench: Workbench, pins: PinnedFile, distribution: str) -> str:
    """The version of `distribution` that `pins` names."""
    found = re.search(rf"^{re.escape(distribution)}==(\S+)", bench.pins(pins.group), re.MULTILINE)
    if found is None:
        raise ValueError(f"{pins.group}.txt pins no {distribution}")
    return found[1]


def folder_of(bench: Workbench, pins: PinnedFile, distribution: str, version: str | None = None) -> Path:
    """Where the environment lies: other pins, another folder."""
    name = f"{distribution}-{version or version_of(bench, pins, distribution)}"
    return bench.places.cache / "bench" / f"{name}-{fingerprint(bench.pins(pins.group))[:12]}"


def environment(bench: Workbench, pins: PinnedFile, distribution: str, version: str | None = None) -> Path:
    """The `bin` folder of the environment that `pins` describes, made if need be. Raises SetupError.

    `version` is for a distribution that `pins` do not name, because it is put into the environment by other means.
    """
    text = bench.pins(pins.group)
    name = f"{distribution} {version or version_of(bench, pins, distribution)}"
    folder = folder_of(bench, pins, distribution, version)
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    # Its scripts name their interpreter by full path, so the place is one of the facts.
    facts = fingerprint(text, platform.python_version(), sysconfig.get_platform(), str(folder))
    with one_at_a_time(folder, bench.console):
        where = folder / "forebay-stamp.json"
        stamp = Stamp(where)
        if stamp.trusted and stamp.holds(_MADE, facts) and python.exists():
            return python.parent
        with bench.console.step(f"Environment of {name}"):
            bench.child(f"make the environment of {name}", (interpreter(), "-m", "venv", "--clear", folder))
        stamp = Stamp(where)  # what the old one said is gone with its environment
        stamp.begin(_MADE)
        _install(bench, python, pins, name, len(PIN.findall(text)))
        stamp.finish(_MADE, facts)
    return python.parent


def _install(bench: Workbench, python: Path, pins: PinnedFile, name: str, count: int) -> None:
    with bench.console.step(f"{name}: {count} packages, each checked by hash") as step:
        seen = 0

        def on_line(line: str | None) -> None:
            nonlocal seen
            seen += bool(line and line.startswith("Collecting "))
            step.progress(min(seen / count, 1.0))

        words = (python, *PIP, *HASHED, "-r", bench.places.requirements(pins.group))
        bench.child(f"install {name}", words, on_line=on_line)
