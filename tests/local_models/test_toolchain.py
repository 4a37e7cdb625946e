"""Whether the CPU engine can be compiled and loaded here, seen from an environment."""

import os
from pathlib import Path

import pytest

from local_models.toolchain import compiler_install_command, engine_fault, find_compiler


def program(folder: Path, name: str) -> Path:
    """A program of that name, in a folder for a PATH."""
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_compiler_is_what_cxx_names_or_path_has(tmp_path: Path) -> None:
    """In this order; without either there is none, whatever this process has."""
    assert find_compiler({}) is None
    assert find_compiler({"PATH": str(tmp_path)}) is None
    found = program(tmp_path, "clang++")
    assert find_compiler({"PATH": str(tmp_path)}) == str(found)
    named = program(tmp_path, "my-c++")
    assert find_compiler({"PATH": str(tmp_path), "CXX": "my-c++ -m64"}) == str(named)
    assert find_compiler({"PATH": str(tmp_path), "CXX": "gone"}) == str(found)


def test_the_way_to_a_compiler_fits_the_machine(tmp_path: Path) -> None:
    """The command is one of the package manager that is here."""
    assert compiler_install_command({"PATH": str(tmp_path)}).startswith("install a C++ compiler")
    program(tmp_path, "dnf")
    assert compiler_install_command({"PATH": str(tmp_path)}) == "sudo dnf install gcc-c++"


def test_an_engine_that_loads_has_no_fault() -> None:
    """As it is here, where the tests of the engine run."""
    assert engine_fault(os.environ) is None


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("raise ImportError('No module named llama_cpp')", "ImportError: No module named llama_cpp"),
        ("import os; os.kill(os.getpid(), 4)", "loading it ended with SIGILL: it was compiled for another processor"),
        ("import sys; sys.exit(9)", "loading it ended with exit status 9"),
    ],
)
def test_an_engine_that_does_not_load_says_why(tmp_path: Path, code: str, fault: str) -> None:
    """In one line, and without harm to whoever asks."""
    package = tmp_path / "llama_cpp"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    assert engine_fault({"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}) == fault
