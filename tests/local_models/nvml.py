"""A driver for machines without a GPU: NVIDIA's library, played by `fake_nvml.c` from a scenario file."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

H200 = MappingProxyType(
    {
        "name": "NVIDIA H200",
        "uuid": "GPU-first",
        "memory_total": 150_000_000_000,
        "memory_used": 1_000_000_000,
        "processes": "",
        "utilization": 3,
        "clock_reasons": "0x1",
        "sm_clock": 345,
        "sm_clock_max": 1980,
        "memory_clock": 3201,
        "temperature": 31,
        "power": 76_500,
        "power_limit": 700_000,
        "ecc_uncorrected": 0,
        "remap_pending": 0,
        "remap_failed": 0,
        "events": "yes",
    }
)
"""A GPU that is well, and idle. Further keys: `lost`, with any value; `throttle_reasons`, of older drivers."""


def install_driver(folder: Path) -> dict[str, str]:
    """Put the library into the folder; the environment in which processes find it. It has nothing to tell yet."""
    compile_library(Path(__file__).with_name("fake_nvml.c"), folder / "libnvidia-ml.so.1")
    return {"LD_LIBRARY_PATH": str(folder)}


def play(folder: Path, *gpus: Mapping[str, object], **more: object) -> None:
    """Have the library of the folder tell of these GPUs from now on; `more` are keys of the driver itself: `init`, an
    error of its beginning; `event0`, `event1`…, each "INDEX XID".
    """
    lines = {"driver": "580.65.06", "count": len(gpus), **more}
    lines |= {f"{index}.{key}": value for index, gpu in enumerate(gpus) for key, value in gpu.items()}
    beside = folder / "scenario.new"
    beside.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
    beside.replace(folder / "scenario")


def compile_library(source: Path, library: Path) -> None:
    """A shared library from one file in C."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("c++") or "cc"
    subprocess.run((compiler, "-shared", "-fPIC", "-x", "c", "-o", str(library), str(source)), check=True)
