"""What child processes inherit of our environment.

The gateway's environment holds its cloud keys. An engine parses files and prompts of strangers in native code and
a host stays behind when the gateway leaves, so neither gets more than it needs to run. vLLM fetches its models by
itself, so it may see what a hub, and the way there, need.
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
        "GLIBC_TUNABLES",
    )
)
_PREFIXES: Final = (
    "LC_", "PYTHON", "XDG_", "DYLD_",
    # how many threads, which devices, which kernels
    "OMP_", "KMP_", "GOMP_", "OPENBLAS_", "MKL_", "GGML_", "LLAMA_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_",
)  # fmt: skip

_VLLM_NAMES: Final = frozenset(
    (
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    )
)
_VLLM_PREFIXES: Final = (
    "VLLM_", "HF_", "TRANSFORMERS_", "TOKENIZERS_", "TORCH", "TRITON_", "NCCL_", "FLASHINFER_", "LMCACHE_",
)  # fmt: skip
# Our interpreter's modules are not those of its environment; and we could not ask a server that wants a key.
_NOT_VLLMS: Final = frozenset(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "VLLM_API_KEY"))


def inheritable(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that an engine of ours may see."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}


def inheritable_by_vllm(environ: Mapping[str, str]) -> dict[str, str]:
    """The part that vLLM may see."""
    return {name: value for name, value in inheritable_by_host(environ).items() if name not in _NOT_VLLMS}


def inheritable_by_host(environ: Mapping[str, str]) -> dict[str, str]:
    """The part that an engine host may see: all that any of its engines may."""
    vllms = {name: value for name, value in environ.items() if name in _VLLM_NAMES or name.startswith(_VLLM_PREFIXES)}
    return inheritable(environ) | vllms
