"""Writes the requirement files from pyproject.toml: every version pinned, every file of it by hash.

The files name no index: which one to use is the affair of the machine that installs. They are made with the
oldest Python that is supported, so that no version is taken that needs a newer one.
"""

import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from scripts.tooling.command import SetupError
from scripts.tooling.places import interpreter
from scripts.tooling.workbench import PIP, Workbench

OLDEST = (3, 11)
ENGINE = "llama-cpp-python"
COMPILE = (
    *("--quiet", "--generate-hashes", "--strip-extras", "--allow-unsafe", "--no-header"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"),
)
BLOCK = re.compile(r"^(?P<name>[a-z0-9][\w.-]*)==.*\n(?:[ \t]+.*\n)*", re.MULTILINE)


class PinnedFile(NamedTuple):
    """A requirement file and the sentence at its top."""

    group: str
    purpose: str


RUNTIME = PinnedFile("requirements", "What Forebay and its CPU engine run with, and what installs Forebay.")
LLAMA = PinnedFile("requirements-llama", "The CPU engine's source, compiled once per kind of processor.")
BUILD = PinnedFile("requirements-build", "What compiles the CPU engine, in a throw-away environment.")
DEV = PinnedFile("requirements-dev", "What tests and checks need on top of requirements.txt.")

PINS = "scripts/benchmarks/pins"
LITELLM = PinnedFile(f"{PINS}/litellm", "LiteLLM's proxy, which `scripts/bench overhead` measures beside Forebay.")
VLLM_ROUTER = PinnedFile(f"{PINS}/vllm-router", "vllm-router, which `scripts/bench overhead` measures beside Forebay.")
LLAMA_CPP_SERVER = PinnedFile(
    f"{PINS}/llama-cpp-server",
    "What `llama_cpp.server` needs, which `scripts/bench engine` measures beside our engine.",
)
PLOT = PinnedFile(f"{PINS}/plot", "What draws the plots of `scripts/bench`.")
APART = (BUILD, LITELLM, VLLM_ROUTER, LLAMA_CPP_SERVER, PLOT)
"""Files of environments of their own, which need not agree with any other file."""

GROUPS = MappingProxyType(
    {
        DEV: "dev",
        BUILD: "compile",
        LITELLM: "bench-litellm",
        VLLM_ROUTER: "bench-vllm-router",
        LLAMA_CPP_SERVER: "bench-llama-cpp-server",
        PLOT: "bench-plot",
    }
)


def wanted(pyproject: Mapping[str, Any], file: PinnedFile) -> list[str]:
    """The requirements that a file pins, as pyproject.toml states them."""
    if file is RUNTIME:
        project = pyproject["project"]
        build = pyproject["build-system"]["requires"]
        return [*project["dependencies"], *project["optional-dependencies"]["cpu"], *build]
    group: list[str] = pyproject["dependency-groups"][GROUPS[file]]
    return group


def pinned_blocks(compiled: str) -> dict[str, str]:
    """The blocks of a compiled file (`name==version`, its hashes, who wants it), by distribution name."""
    readable = compiled.replace("-r pyproject.in", "pyproject.toml").replace("-c pinned.txt", "requirements.txt")
    return {found["name"]: found[0] for found in BLOCK.finditer(readable)}


def pinned_text(purpose: str, blocks: Sequence[str]) -> str:
    """The text of a requirement file."""
    return f"# Written by scripts/lock from pyproject.toml; do not edit.\n# {purpose}\n{''.join(blocks)}"


class Locker:
    """Compiles the files in a throw-away environment; `upgrade` takes newer versions than those pinned."""

    def __init__(self, bench: Workbench, *, upgrade: bool) -> None:
        """Nothing is touched before `lock`."""
        self._bench = bench
        self._places = bench.places
        self._upgrade = ("--upgrade",) if upgrade else ()

    def lock(self) -> None:
        """Write all files. Raises SetupError; no file is written unless all were compiled."""
        if sys.version_info[:2] != OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise SetupError(
                f"Pins are made with Python {wanted}, the oldest that is supported.",
                advice=f"PYTHON=python{wanted} scripts/lock",
            )
        self._bench.log.clear()
        with tempfile.TemporaryDirectory(prefix="forebay-lock-") as scratch:
            folder = Path(scratch)
            self._make_tools(folder)
            runtime = self._compile(folder, RUNTIME, seed=self._current(RUNTIME) + self._current(LLAMA))
            engine = {ENGINE: runtime.pop(ENGINE)}
            (folder / "pinned.txt").write_text("".join(runtime.values()), encoding="utf-8")
            dev = self._compile(folder, DEV, seed=self._current(DEV))
            apart = [(file, self._compile(folder, file, seed=self._current(file))) for file in APART]
        only_dev = {name: block for name, block in dev.items() if name not in runtime}
        for file, blocks in ((RUNTIME, runtime), (LLAMA, engine), (DEV, only_dev), *apart):
            text = pinned_text(file.purpose, list(blocks.values()))
            self._places.requirements(file.group).write_text(text, encoding="utf-8")

    def _make_tools(self, folder: Path) -> None:
        tools = folder / "tools"
        with self._bench.console.step("Throw-away environment with pip-tools"):
            self._bench.child("make it", (interpreter(), "-m", "venv", tools), cwd=folder)
            words = (tools / "bin" / "python", *PIP, "install", "pip-tools>=7.5")
            self._bench.child("install pip-tools", words, cwd=folder)

    def _compile(self, folder: Path, file: PinnedFile, *, seed: str) -> dict[str, str]:
        pyproject = tomllib.loads((self._places.root / "pyproject.toml").read_text(encoding="utf-8"))
        constraint = ("-c pinned.txt",) if file in (DEV, BUILD) else ()
        source = folder / "pyproject.in"
        source.write_text("\n".join([*constraint, *wanted(pyproject, file)]), encoding="utf-8")
        # Pins that stand in the output are kept unless they must go: a lock changes what was asked for.
        output = folder / f"{Path(file.group).name}.txt"
        output.write_text(seed, encoding="utf-8")
        compiler = folder / "tools" / "bin" / "pip-compile"
        words = (compiler, *COMPILE, *self._upgrade, "--output-file", output.name, "pyproject.in")
        with self._bench.console.step(f"Pin {file.group}.txt"):
            self._bench.child("pin the packages", words, cwd=folder)
        return pinned_blocks(output.read_text(encoding="utf-8"))

    def _current(self, file: PinnedFile) -> str:
        path = self._places.requirements(file.group)
        return path.read_text(encoding="utf-8") if path.exists() else ""
