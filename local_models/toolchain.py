"""What the CPU engine needs of the machine: a compiler to be made with, and libraries that this processor can run.

Only the standard library: the set-up script reads this before anything is installed.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from local_models.environment import inheritable

# Which package brings a C++ compiler, by the package manager that is there.
_PACKAGES: Final = (
    ("apt-get", "sudo apt-get install g++"),
    ("dnf", "sudo dnf install gcc-c++"),
    ("apk", "sudo apk add g++ linux-headers"),
    ("pacman", "sudo pacman -S gcc"),
    ("zypper", "sudo zypper install gcc-c++"),
    ("brew", "xcode-select --install"),
)
_COMPILERS: Final = ("c++", "g++", "clang++")
_TRIAL: Final = "import jinja2, numpy, llama_cpp; llama_cpp.llama_backend_init()"
# Cold, from a slow disk.
_TRIAL_S: Final = 60.0


def find_compiler(environ: Mapping[str, str]) -> str | None:
    """The C++ compiler that a build would use: the one CXX names, or what PATH has; None where there is none."""
    named = environ.get("CXX", "").split()[:1]
    # Without PATH which() would ask the environment of this process.
    found = (shutil.which(name, path=environ.get("PATH", "")) for name in (*named, *_COMPILERS))
    return next((path for path in found if path is not None), None)


def compiler_install_command(environ: Mapping[str, str]) -> str:
    """What installs one on this machine."""
    for manager, command in _PACKAGES:
        if shutil.which(manager, path=environ.get("PATH", "")):
            return command
    return "install a C++ compiler (g++ or clang++)"


def engine_fault(environ: Mapping[str, str]) -> str | None:
    """Why the CPU engine's libraries cannot be loaded, in one line; None where they can.

    Tried in a process of its own: a library that was compiled for another processor ends whoever loads it.
    """
    command = (sys.executable, "-P", "-c", _TRIAL)
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command,
            env=inheritable(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TRIAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"loading it takes more than {_TRIAL_S:.0f} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        other = ": it was compiled for another processor" if name == "SIGILL" else ""
        return f"loading it ended with {name}{other}"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"loading it ended with exit status {done.returncode}"
