"""A failure comes with what to do about it."""

import pytest

from scripts.tooling.advice import advise
from scripts.tooling.processor import flags_in


@pytest.mark.parametrize(
    ("log", "word"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "mirror"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        ("Failed to establish a new connection: [Errno -3] Temporary failure in name resolution", "HTTPS_PROXY"),
        ("ERROR: No matching distribution found for uvloop==0.23.0", "PYTHON="),
        ("The virtual environment was not created successfully because ensurepip is not available", "python3-venv"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "CMAKE_BUILD_PARALLEL_LEVEL=1"),
        ("CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage", "g++"),
        ("PermissionError: [Errno 13] Permission denied: '/opt/forebay/.venv'", "writable"),
    ],
)
def test_known_failures_have_a_remedy(log: str, word: str) -> None:
    """Each of the usual failures of an installation is recognised by what it prints."""
    advice = advise(f"a line before\n{log}\na line after")
    assert advice is not None
    assert word in advice


def test_an_unknown_failure_has_none() -> None:
    """No advice is better than a wrong one."""
    assert advise("Traceback: something new") is None


@pytest.mark.parametrize(
    ("cpuinfo", "flags"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: fpu", {"fpu", "avx2"}),
        ("processor : 0\nFeatures : fp asimd\n", {"fp", "asimd"}),
        ("", set()),
    ],
)
def test_processor_flags_are_read(cpuinfo: str, flags: set[str]) -> None:
    """x86 and Arm name their extensions under different words; the first processor speaks for all."""
    assert flags_in(cpuinfo) == flags
