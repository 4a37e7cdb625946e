"""What child processes inherit of our environment.

The gateway's environment holds its cloud keys. An engine parses files and prompts of strangers in native code and
a host stays behind when the gateway leaves, so neither gets more than it needs to run.
"""

from collections.abc import Mapping
from typing import Final

_NAMES: Final = frozenset(
    (
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
    )
)
_PREFIXES: Final = (
    "LC_", "PYTHON", "XDG_", "DYLD_",
    # how many threads, which devices, which kernels
    "OMP_", "KMP_", "GOMP_", "OPENBLAS_", "MKL_", "GGML_", "LLAMA_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_",
)  # fmt: skip


def inheritable(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that an engine or its host may see."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
