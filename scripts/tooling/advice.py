"""What to do about a failure, read from the last lines of a log. Pure."""

import re
from typing import NamedTuple

AGAIN = "then start again; what is finished is kept."


class Remedy(NamedTuple):
    """`pattern` is looked for in the log, ignoring case; `advice` is what the person can do."""

    pattern: str
    advice: str


# The first match counts, so the particular stand before the general.
REMEDIES = (
    Remedy(
        r"no space left on device|disk quota exceeded",
        "The disk is full. The environment needs about 500 MB, compiling another 500 MB for a while: free "
        f"some, {AGAIN}",
    ),
    Remedy(
        r"do not match the hashes",
        "A package differs from the pinned one. If a mirror of your company repacks packages, have it serve "
        "the originals; otherwise do not install it, and tell whoever runs the mirror.",
    ),
    Remedy(
        r"certificate.verify.failed|sslerror|self.signed certificate",
        "The package index shows a certificate that Python does not trust: point PIP_CERT at your company's "
        f"CA file, {AGAIN}",
    ),
    Remedy(
        r"newconnectionerror|name resolution|name or service not known|nodename nor servname"
        r"|connection refused|connection reset|network is unreachable"
        r"|read timed out|connecttimeout|max retries exceeded|proxyerror",
        "The package index did not answer. Behind a proxy set HTTPS_PROXY; for your company's mirror set "
        f"PIP_INDEX_URL or use `pip config set global.index-url`; {AGAIN}",
    ),
    Remedy(
        r"no matching distribution found|could not find a version that satisfies",
        "The package index in use lacks a pinned package, or has no ready-made wheel of it for this machine "
        "and Python. Look at `python3 -m pip config list`, or try another Python: PYTHON=python3.12 scripts/run",
    ),
    Remedy(
        r"ensurepip is not available|no module named '?(venv|ensurepip)",
        "This Python comes without venv. On Debian and Ubuntu: sudo apt-get install python3-venv",
    ),
    Remedy(
        r"fatal error: killed|killed \(program cc1plus\)|internal compiler error: killed"
        r"|cannot allocate memory|virtual memory exhausted",
        "The compiler ran out of memory. One file at a time: CMAKE_BUILD_PARALLEL_LEVEL=1 scripts/run",
    ),
    Remedy(
        r"cmake_cxx_compiler|cmake_c_compiler",
        "CMake found no C and C++ compiler that works. On Debian and Ubuntu: sudo apt-get install g++",
    ),
    Remedy(
        r"permission denied|read-only file system",
        "A folder cannot be written. The environment lies in .venv in the clone, compiled wheels under "
        f"FOREBAY_CACHE (default ~/.cache/forebay): make both writable, {AGAIN}",
    ),
)


def advise(log_tail: str) -> str | None:
    """What to do about the failure that `log_tail` shows, or None when it is not a known one."""
    for remedy in REMEDIES:
        if re.search(remedy.pattern, log_tail, re.IGNORECASE):
            return remedy.advice
    return None
