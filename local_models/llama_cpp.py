"""Kind `llama_cpp`: our own llama.cpp server, one process per engine."""

import sys
from typing import Final

from local_models.hardware import cpu_count
from local_models.process import Policy
from local_models.types import EngineSpec

# `local_models.llama`: 3 when the file is not a GGUF it can use, 4 when llama.cpp refuses it.
_BAD_MODEL: Final = frozenset((3, 4))


class LlamaCpp:
    """Launches `python -m local_models.llama`."""

    @property
    def policy(self) -> Policy:
        """A large GGUF on a slow disk may take minutes to load."""
        return Policy(start_limit=300.0, bad_model_exits=_BAD_MODEL)

    def command(self, spec: EngineSpec, listener: int) -> tuple[str, ...]:
        """See `launch.Launcher`."""
        # -P: a file in the folder where Forebay was started must not stand in for a module of ours.
        return (
            sys.executable,
            "-P",
            "-m",
            "local_models.llama",
            "--model",
            str(spec.path),
            "--name",
            spec.model,
            "--fd",
            str(listener),
            "--parallel",
            str(spec.parallel),
            "--context",
            str(spec.context),
            "--threads",
            str(spec.threads or cpu_count()),
            *spec.args,
        )
