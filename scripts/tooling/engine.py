"""The part of the environment that is compiled: llama-cpp-python, the CPU engine."""

from collections.abc import Callable
from pathlib import Path

from local_models.toolchain import compiler_install_command, find_compiler
from scripts.tooling.command import SetupError
from scripts.tooling.console import counted_share
from scripts.tooling.places import interpreter
from scripts.tooling.processor import processor_identity
from scripts.tooling.stamp import Stamp
from scripts.tooling.wheel import WheelCache, build_environment, wheel_key
from scripts.tooling.workbench import HASHED, PIP, Workbench

TRIAL = "import llama_cpp; llama_cpp.llama_backend_init()"


class Engine:
    """llama-cpp-python in one environment, from the cache of wheels or compiled into it."""

    def __init__(self, bench: Workbench) -> None:
        """Nothing is touched before `make`."""
        self._bench = bench
        self._wheels = WheelCache(bench.places.wheels)
        self._requirement = bench.pins("requirements-llama")
        self._key = wheel_key(self._requirement, bench.places.env, processor_identity())

    def foresee(self, stamp: Stamp, *, required: bool) -> bool:
        """Whether `make` can succeed, asked before anything is spent on the rest of the environment.

        Without a compiler and without a wheel it cannot: SetupError if `required`, otherwise a note.
        """
        if stamp.holds("engine", self._key) or self._wheels.find(self._key) or find_compiler(self._bench.places.env):
            return True
        remedy = compiler_install_command(self._bench.places.env)
        if required:
            raise SetupError(
                "No C++ compiler is here, and the CPU engine (llama-cpp-python) is compiled on this machine.",
                advice=f"{remedy}, and start again. To serve without the CPU engine, give a configuration "
                "whose tiers are in the cloud or on vLLM: scripts/run --config FILE",
            )
        self._bench.console.warn(
            f"No C++ compiler, so no CPU engine: a tier on it stays down, others answer. To get it: {remedy}"
        )
        return False

    def make(self, stamp: Stamp) -> None:
        """Install it, compiled for this processor, unless the environment has it."""
        if not stamp.holds("engine", self._key):
            self._install(stamp, self._wheels.find(self._key) or self._compile())

    def _compile(self) -> Path:
        version = self._requirement.partition("==")[2].split()[0]
        console = self._bench.console
        with console.step(f"Compile llama-cpp-python {version}, once (about 5 min)") as step:
            done = 0.0

            def on_line(line: str | None) -> None:
                nonlocal done
                done = max(done, (counted_share(line) if line else None) or 0.0)
                step.progress(done or None)

            def build(ready: Path, scratch: Path) -> None:
                self._build(ready, scratch, on_line)

            def waiting() -> None:
                console.say("  ..     Another process is compiling the same wheel; waiting for it")

            return self._wheels.make(self._key, build, waiting)

    def _build(self, ready: Path, scratch: Path, on_line: Callable[[str | None], None]) -> None:
        places = self._bench.places
        tools = scratch / "tools"
        builder = tools / "bin" / "python"
        # The requirement's hash is the source's, so the source is checked before its build runs. pip's own
        # cache is left out: it keeps wheels compiled for whatever processor ran it first.
        from_source = ("--no-deps", "--no-binary", ":all:", "--require-hashes", "--no-cache-dir")
        for argv in (
            (interpreter(), "-m", "venv", tools),
            (builder, *PIP, *HASHED, "-r", places.requirements("requirements-build")),
            (
                *(builder, *PIP, "wheel", "--verbose", *from_source, "--no-build-isolation"),
                *("--wheel-dir", ready, "-r", places.requirements("requirements-llama")),
            ),
        ):
            env = build_environment(places.env, scratch)
            self._bench.child("compile llama-cpp-python", argv, on_line=on_line, env=env)

    def _install(self, stamp: Stamp, wheel: Path) -> None:
        python = self._bench.places.python
        stamp.begin("engine")
        with self._bench.console.step("CPU engine"):
            words = (*PIP, "install", "--no-deps", "--no-index", "--force-reinstall", wheel)
            self._bench.child("install the CPU engine", (python, *words))
            try:
                self._bench.child("load the compiled CPU engine; its wheel was thrown away", (python, "-c", TRIAL))
            except SetupError:
                self._wheels.drop(self._key)
                raise
        stamp.finish("engine", self._key)
