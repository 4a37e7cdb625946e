"""What this box has: CPUs, memory, cards. Reads only; every figure is of the moment it is asked. GPUs: `gpu.py`."""

import hashlib
import math
import os
import platform
from pathlib import Path
from typing import Final

from msgspec import Struct

_CGROUP: Final = Path("/sys/fs/cgroup")
_PROC: Final = Path("/proc")
_PCI: Final = Path("/sys/bus/pci/devices")
# Instruction sets that llama.cpp's build chooses its kernels by: a wheel built for one set dies of SIGILL
# without it. x86 names as in /proc/cpuinfo's `flags`, ARM's as in `Features`.
_BUILD_FLAGS: Final = (
    "sse3", "pni", "ssse3", "sse4_1", "sse4_2", "avx", "avx2", "f16c", "fma", "bmi2", "avx_vnni", "avxvnniint8",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip
_BUILD_PREFIXES: Final = ("avx512", "amx_")


class Memory(Struct, frozen=True):
    """Main memory in bytes, the container's limit included; None is unknown."""

    total: int | None
    available: int | None


def nvidia_cards(root: Path = _PCI) -> int:
    """NVIDIA's display and compute devices in this box, whether a driver knows them or not (PCI vendor and class)."""
    vendors = ((_read(device / "vendor"), _read(device / "class")) for device in _entries(root))
    return sum(vendor == "0x10de" and (kind or "").startswith("0x03") for vendor, kind in vendors)


def card_models(root: Path = _PCI) -> tuple[str, ...]:
    """PCI device numbers of NVIDIA's cards, which name the model of each."""
    cards = [device for device in _entries(root) if _read(device / "vendor") == "0x10de"]
    found = [_read(card / "device") or "" for card in cards if (_read(card / "class") or "").startswith("0x03")]
    return tuple(sorted(found))


def cpu_count() -> int:
    """CPUs that this process can really use: its affinity, cut by the quota of its cgroup; at least 1."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(_cgroup_folders(), _CGROUP)
    return max(1, min(mine, math.floor(quota)) if quota is not None else mine)


def cpu_quota(folders: tuple[str, ...], root: Path) -> float | None:
    """CPUs that the tightest of these cgroups (paths under `root`) and their parents grants; None without limit.

    Version 2 has `cpu.max` ("quota period" in microseconds, or "max"), version 1 two files under `cpu/`.
    """
    limits = []
    for folder in _with_parents(folders):
        quota, _, period = (_read(root / folder / "cpu.max") or "max 0").partition(" ")
        limits.append(_share(quota, period))
        old = root / "cpu" / folder
        limits.append(_share(_read(old / "cpu.cfs_quota_us") or "-1", _read(old / "cpu.cfs_period_us") or "0"))
    return min((limit for limit in limits if limit is not None), default=None)


def memory() -> Memory:
    """Memory of the box or of the container, whichever is less."""
    fields = dict(line.split(":", 1) for line in (_read(_PROC / "meminfo") or "").splitlines() if ":" in line)
    total = _kibibytes(fields.get("MemTotal"))
    available = _kibibytes(fields.get("MemAvailable"))
    for room, used in memory_limits(_cgroup_folders(), _CGROUP):
        total = room if total is None else min(total, room)
        left = max(0, room - used)
        available = left if available is None else min(available, left)
    return Memory(total, available)


def memory_limits(folders: tuple[str, ...], root: Path) -> tuple[tuple[int, int], ...]:
    """(limit, used) in bytes of each of these cgroups (paths under `root`) and their parents that has a limit."""
    found = []
    for folder in _with_parents(folders):
        for limit, used in (
            (root / folder / "memory.max", root / folder / "memory.current"),
            (root / "memory" / folder / "memory.limit_in_bytes", root / "memory" / folder / "memory.usage_in_bytes"),
        ):
            bound, at_work = _read(limit) or "max", _read(used) or ""
            if bound.isdecimal() and at_work.isdecimal():
                found.append((int(bound), int(at_work)))
    return tuple(found)


def cpu_flags_key() -> str:
    """Names the CPU features that a compiled engine depends on: builds are exchangeable where keys are equal."""
    return flags_key(platform.machine(), _read(_PROC / "cpuinfo") or "")


def flags_key(machine: str, cpuinfo: str) -> str:
    """16 hex digits from the architecture and /proc/cpuinfo's text, independent of the order of its flags."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    flags = next((value.split() for name, _, value in lines if name.strip().lower() in ("flags", "features")), [])
    relevant = sorted({flag for flag in flags if flag in _BUILD_FLAGS or flag.startswith(_BUILD_PREFIXES)})
    return hashlib.sha256(" ".join((machine, *relevant)).encode()).hexdigest()[:16]


def _cgroup_folders() -> tuple[str, ...]:
    """Our cgroups' paths (proc(5): `id:controllers:path`), without the leading slash."""
    lines = (_read(_PROC / "self/cgroup") or "").splitlines()
    return tuple(dict.fromkeys(line.split(":", 2)[2].lstrip("/") for line in lines if line.count(":") >= 2))


def _with_parents(folders: tuple[str, ...]) -> tuple[str, ...]:
    found = {"": None}
    for folder in folders:
        parts = Path(folder).parts
        found.update({"/".join(parts[:depth]): None for depth in range(1, len(parts) + 1)})
    return tuple(found)


def _share(quota: str, period: str) -> float | None:
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) > 0 else None


def _kibibytes(field: str | None) -> int | None:
    return int(field.split()[0]) * 1024 if field else None


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
