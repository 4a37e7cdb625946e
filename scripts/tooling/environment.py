"""Makes `.venv` in parts, each stamped when it is whole, so that a second start finds nothing to do."""

import fcntl
import os
import platform
import re
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.tooling.console import Console
from scripts.tooling.engine import Engine
from scripts.tooling.places import interpreter
from scripts.tooling.stamp import Stamp, fingerprint, installed_by
from scripts.tooling.workbench import HASHED, PIP, Workbench

PIN = re.compile(r"^[\w.-]+==", re.MULTILINE)


class Environment:
    """The virtual environment of one clone."""

    def __init__(self, bench: Workbench) -> None:
        """Nothing is touched before `make`."""
        self._bench = bench
        self._python = bench.places.python
        self._stamp_file = bench.places.venv / "forebay-stamp.json"

    def make(self, *, dev: bool, engine_required: bool) -> None:
        """Make or complete it; `dev` adds what tests and checks need.

        Without a compiler the CPU engine is left out with a note, unless `engine_required`.
        Raises SetupError.
        """
        with one_at_a_time(self._bench.places.root, self._bench.console):
            self._bench.log.clear()
            engine = Engine(self._bench)
            wanted = self._bench.places.engine_wanted or engine_required
            possible = wanted and engine.foresee(Stamp(self._stamp_file), required=engine_required)
            stamp = self._make_packages()
            if dev:
                self._make_dev(stamp)
            if possible:
                engine.make(stamp)

    def _make_packages(self) -> Stamp:
        places = self._bench.places
        facts = self._facts()
        stamp = Stamp(self._stamp_file)
        if stamp.trusted and stamp.holds("packages", facts) and self._python.exists():
            return stamp
        console = self._bench.console
        console.say(f"Setting up Forebay in {places.root}")
        with console.step(f"Virtual environment .venv, Python {platform.python_version()}"):
            words = (interpreter(), "-m", "venv", "--clear", places.venv)
            self._bench.child("make the virtual environment", words)
        stamp = Stamp(self._stamp_file)
        stamp.begin("packages")
        self._install_pinned("requirements", "Packages")
        with console.step("Forebay itself"):
            # Without isolation: its build backend is among the pinned packages, an isolated one would not be.
            unpinned = ("install", "--no-deps", "--no-build-isolation", "--editable", places.root)
            self._bench.child("install Forebay", (self._python, *PIP, *unpinned))
        stamp.finish("packages", facts)
        return stamp

    def _facts(self) -> str:
        places = self._bench.places
        return fingerprint(
            self._bench.pins("requirements"),
            installed_by((places.root / "pyproject.toml").read_text(encoding="utf-8")),
            f"{platform.python_implementation()} {platform.python_version()} {sysconfig.get_platform()}",
            # Its scripts name their interpreter by full path, so a moved clone needs a new environment.
            str(places.root),
        )

    def _make_dev(self, stamp: Stamp) -> None:
        facts = fingerprint(self._bench.pins("requirements-dev"))
        if stamp.holds("dev", facts):
            return
        stamp.begin("dev")
        self._install_pinned("requirements-dev", "Tools for tests and checks")
        stamp.finish("dev", facts)

    def _install_pinned(self, group: str, title: str) -> None:
        count = len(PIN.findall(self._bench.pins(group)))
        with self._bench.console.step(f"{title}: {count}, each checked by hash") as step:
            seen = 0

            def on_line(line: str | None) -> None:
                nonlocal seen
                seen += bool(line and line.startswith("Collecting "))
                step.progress(min(seen / count, 1.0) if count else None)

            words = (self._python, *PIP, *HASHED, "-r", self._bench.places.requirements(group))
            self._bench.child(f"install {group}.txt", words, on_line=on_line)


@contextmanager
def one_at_a_time(place: Path, console: Console) -> Iterator[None]:
    """Hold a folder, such as the clone, for one set-up; a second one waits, and says so.

    The lock is on the folder itself, so it leaves no file and dies with its process.
    """
    folder = os.open(place, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say(f"  ..     Another set-up of {place} is running; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
