"""llama-cpp-python, compiled once per kind of processor and kept for every clone.

The package index has only its source. pip's own cache would hand back a wheel by name and version, whatever
processor it was compiled for; this one is keyed by everything that shapes the machine code.
"""

import fcntl
import shutil
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.tooling.stamp import fingerprint

CMAKE_ARGS = "-DLLAVA_BUILD=OFF"
"""The multimodal part doubles the time to compile (8.6 minutes against 4.3 on two cores) and is not used."""

KERNELS = Path(__file__).parent / "llama_kernels.h"
CXXFLAGS = f'-include "{KERNELS}"'
"""With it llama.cpp's AMX kernels work, which GCC 12 and 13 break otherwise. Beside the same engine without them
(SmolLM2-135M, Q4_1, two cores): one stream's token in 4.6 ms instead of 9.7, a step of eight streams in 19 instead
of 42, a prompt token in 0.7 instead of 3.1. A single token has a kernel of its own there, but what it computes is the
same to the last bit, so that no answer depends on who else is being served (Q4_1 and Q8_0; `scripts/bench exact`).

And llama.cpp does not compute with halves where the processor can (AVX512-FP16): 42 % of a step of eight streams of
that model, whose heads have 64 numbers, went into what is left over then. It has 320 to 360 tokens/s instead of 215 to
270. Heads of 128 would be faster with halves (13 against 23 ns a head and position), but those sums lose digits."""

SHAPING = ("CMAKE_ARGS", "CC", "CXX", "CFLAGS", "CXXFLAGS")
"""What a person may set that changes the machine code."""

BUILDING = ".building-"


def build_environment(env: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """The environment to compile in: the person's own CMAKE_ARGS and CXXFLAGS come last and win.

    TMPDIR lies in `scratch`, so that a killed build leaves its gigabyte where the next one sweeps.
    """
    ours = {"CMAKE_ARGS": CMAKE_ARGS, "CXXFLAGS": CXXFLAGS}
    joined = {name: " ".join(filter(None, [flags, env.get(name, "")])) for name, flags in ours.items()}
    return {**env, **joined, "TMPDIR": str(scratch)}


def wheel_key(requirement: str, env: Mapping[str, str], processor: str) -> str:
    """The folder name of a wheel: the pinned source, what shapes the build, the Python, the platform."""
    kernels = KERNELS.read_text(encoding="utf-8")
    shaping = [f"{name}={env.get(name, '')}" for name in SHAPING]
    python = sysconfig.get_config_var("SOABI") or ""
    return fingerprint(requirement, CMAKE_ARGS, kernels, *shaping, python, sysconfig.get_platform(), processor)


class WheelCache:
    """Compiled wheels under one folder, safe against two builds at once and against killed ones."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first wheel is."""
        self._folder = folder

    def find(self, key: str) -> Path | None:
        """The wheel of `key`, or None."""
        return next((self._folder / key).glob("*.whl"), None)

    def make(self, key: str, build: Callable[[Path, Path], None], waiting: Callable[[], None]) -> Path:
        """The wheel of `key`; unless another process has made it meanwhile, by `build(ready, scratch)`.

        `build` leaves the wheel in `ready` and anything else in `scratch`, which is removed. `waiting` is
        called before a wait for that other process. Raises FileNotFoundError when `build` left no wheel.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked(key, waiting):
            found = self.find(key)
            if found is not None:
                return found
            self._sweep(key)
            scratch = Path(tempfile.mkdtemp(prefix=f"{BUILDING}{key}-", dir=self._folder))
            ready = scratch / "ready"
            ready.mkdir()
            try:
                build(ready, scratch)
                built = next(ready.glob("*.whl"), None)
                if built is None:
                    raise FileNotFoundError(f"the build left no wheel in {ready}")
                # The rename is the moment of truth: a folder under its own name is always complete.
                ready.replace(self._folder / key)
                return self._folder / key / built.name
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def drop(self, key: str) -> None:
        """Forget the wheel of `key`, because it proved unfit."""
        shutil.rmtree(self._folder / key, ignore_errors=True)

    def _sweep(self, key: str) -> None:
        # The lock is held, so whatever is half-built under this key was left by a build that is dead.
        for leaving in self._folder.glob(f"{BUILDING}{key}-*"):
            shutil.rmtree(leaving, ignore_errors=True)

    @contextmanager
    def _locked(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        with (self._folder / f".{key}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
