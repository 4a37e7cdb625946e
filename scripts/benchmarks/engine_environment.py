"""The environment of `llama_cpp.server`: its own pins, and the very wheel that Forebay's engine runs on."""

from pathlib import Path

from scripts.benchmarks.overhead_environments import environment, version_of
from scripts.tooling.command import SetupError
from scripts.tooling.lock import ENGINE, LLAMA, LLAMA_CPP_SERVER
from scripts.tooling.processor import processor_identity
from scripts.tooling.stamp import Stamp
from scripts.tooling.wheel import WheelCache, wheel_key
from scripts.tooling.workbench import PIP, Workbench

_PART = "engine"


def packaged_version(bench: Workbench) -> str:
    """The version of llama-cpp-python that Forebay pins."""
    return version_of(bench, LLAMA, ENGINE)


def packaged_server(bench: Workbench) -> Path:
    """The interpreter that can run `-m llama_cpp.server`, its environment made if need be. Raises SetupError."""
    programs = environment(bench, LLAMA_CPP_SERVER, ENGINE, packaged_version(bench))
    python = programs / "python"
    key = wheel_key(bench.pins(LLAMA.group), bench.places.env, processor_identity())
    stamp = Stamp(programs.parent / "forebay-stamp.json")
    if stamp.holds(_PART, key):
        return python
    wheel = WheelCache(bench.places.wheels).find(key)
    if wheel is None:
        raise SetupError(
            "The compiled llama-cpp-python is not in the cache.",
            advice="scripts/test compiles it; FOREBAY_CACHE names another cache",
        )
    stamp.begin(_PART)
    with bench.console.step(f"{ENGINE} {packaged_version(bench)}, from the cache"):
        words = (python, *PIP, "install", "--no-deps", "--no-index", "--force-reinstall", wheel)
        bench.child("install llama-cpp-python", words)
    stamp.finish(_PART, key)
    return python
