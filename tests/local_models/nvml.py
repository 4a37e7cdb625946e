"""A driver for machines without a GPU: NVIDIA's library, played by `fake_nvml.c`."""

import shutil
import subprocess
from pathlib import Path


def install_driver(folder: Path) -> dict[str, str]:
    """Put the library into the folder; the environment in which processes find it. FAKE_NVML names the scenario."""
    compile_library(Path(__file__).with_name("fake_nvml.c"), folder / "libnvidia-ml.so.1")
    return {"LD_LIBRARY_PATH": str(folder)}


def compile_library(source: Path, library: Path) -> None:
    """A shared library from one file in C."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("c++") or "cc"
    subprocess.run((compiler, "-shared", "-fPIC", "-x", "c", "-o", str(library), str(source)), check=True)
