"""What `preflight` is to be told of this box: its GPUs or its memory, who holds them, and how large a model is."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from local_models.gpu import Gpu
from local_models.gpuwatch import gpus
from local_models.hardware import memory
from local_models.preflight import Holder, Pool, Shortage, short_on_cpu, short_on_gpus
from local_models.types import EngineSpec

_WEIGHTS: Final = ("*.safetensors", "*.bin", "*.pt")
_PROC: Final = Path("/proc")
_LARGEST: Final = 3


def shortage(spec: EngineSpec, environ: Mapping[str, str], device: Literal["cpu", "gpu"]) -> Shortage | None:
    """Why there is no room for a vLLM at this moment; None where nothing speaks against it. Takes a moment."""
    if device == "cpu":
        return short_on_cpu(environ, weights_of(spec.path), _box())
    return short_on_gpus(spec.args, tuple(_pool(gpu) for gpu in gpus().visible))


def weights_of(path: str | None) -> int | None:
    """Bytes of a model's files, where they are in a folder of this box."""
    folder = Path(path or "")
    if path is None or not folder.is_absolute():
        return None
    return sum(file.stat().st_size for pattern in _WEIGHTS for file in folder.glob(pattern))


def _pool(gpu: Gpu) -> Pool:
    known = gpu.memory_total is not None and gpu.memory_used is not None
    return Pool(
        name=f"GPU {gpu.index} ({gpu.name})",
        total=gpu.memory_total,
        free=(gpu.memory_total or 0) - (gpu.memory_used or 0) if known else None,
        holders=tuple(Holder(each.pid, each.memory) for each in gpu.processes or ()),
    )


def _box() -> Pool:
    found = memory()
    return Pool(name="this box", total=found.total, free=found.available, holders=_largest())


def _largest() -> tuple[Holder, ...]:
    """The processes that hold the most."""
    held = []
    for folder in _PROC.glob("[0-9]*"):
        # It may have ended meanwhile, or be nobody's business.
        with suppress(OSError, ValueError, IndexError):
            pages = int((folder / "statm").read_text().split()[1])
            held.append(Holder(int(folder.name), pages * os.sysconf("SC_PAGE_SIZE")))
    return tuple(sorted(held, key=lambda each: -(each.bytes or 0))[:_LARGEST])
