"""Where things lie, and what the person may set in the environment: read here, once."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Places(NamedTuple):
    """The clone, the cache shared by all clones of a person, and the environment for children."""

    root: Path
    cache: Path
    env: Mapping[str, str]
    engine_wanted: bool
    """False when FOREBAY_CPU_ENGINE=off: a node with vLLM or cloud tiers alone need not compile llama.cpp."""

    @property
    def venv(self) -> Path:
        """The virtual environment of this clone."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The interpreter of that environment."""
        return self.venv / "bin" / "python"

    @property
    def log(self) -> Path:
        """What children of the set-up said last time."""
        return self.root / ".setup.log"

    @property
    def wheels(self) -> Path:
        """Wheels compiled on this machine, one folder per key."""
        return self.cache / "wheels"

    @property
    def test_model(self) -> Path:
        """The GGUF that most tests run on."""
        return self.cache / "models" / "smollm2-135m-instruct.gguf"

    @property
    def embedding_model(self) -> Path:
        """The GGUF that tests of embeddings run on."""
        return self.cache / "models" / "all-minilm-l6-v2.gguf"

    def requirements(self, group: str) -> Path:
        """The pinned file of a group: `requirements`, or `requirements-llama`, `-build`, `-dev`."""
        return self.root / f"{group}.txt"


def find_places(root: Path, environ: Mapping[str, str]) -> Places:
    """The places for a clone at `root`.

    An inherited PYTHONPATH or PYTHONHOME would put foreign packages in front of the pinned ones, and an
    activated foreign environment would be named to pip; children get none of them.
    """
    dropped = {"PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    env = {name: value for name, value in environ.items() if name not in dropped}
    env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONUNBUFFERED": "1"}
    named = environ.get("FOREBAY_CACHE")
    cache = Path(named).expanduser() if named else Path.home() / ".cache" / "forebay"
    wanted = environ.get("FOREBAY_CPU_ENGINE", "on").lower() not in {"off", "0", "no", "false"}
    return Places(root.resolve(), cache.absolute(), env, wanted)


def here() -> Places:
    """The places of the clone that this file belongs to."""
    return find_places(Path(__file__).parents[2], os.environ)


def interpreter() -> Path:
    """The interpreter that runs the set-up, outside any virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable))
