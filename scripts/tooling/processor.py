"""What the processor can do: a wheel compiled for one that can do more dies here with SIGILL."""

import platform
import subprocess
from pathlib import Path

SYSCTL_NAMES = ("machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features")


def flags_in(cpuinfo: str) -> frozenset[str]:
    """Instruction set extensions of the first processor in /proc/cpuinfo (x86 `flags`, Arm `Features`)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()


def processor_identity(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """A text that is equal on two machines only if code compiled natively on one runs on the other.

    It may differ where that code would run (a newer kernel may name more flags): one compilation too many, no
    crash.
    """
    if cpuinfo.exists():
        flags = flags_in(cpuinfo.read_text(encoding="utf-8", errors="replace"))
        return " ".join([platform.machine(), *sorted(flags)])
    told = [
        subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()
        for name in SYSCTL_NAMES
    ]
    return " ".join([platform.machine(), *told])
