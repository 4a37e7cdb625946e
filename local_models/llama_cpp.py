"""Kind `llama_cpp`: our own llama.cpp server, one process per engine."""

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from local_models.environment import inheritable
from local_models.hardware import cpu_count
from local_models.launch import Place
from local_models.policy import Policy
from local_models.probe import Canary
from local_models.types import EngineSpec

# `local_models.llama`: 3 when the file is not a GGUF it can use, 4 when llama.cpp refuses it.
_BAD_MODEL: Final = frozenset((3, 4))
# ggml's threads meet at a barrier after every operation, and GNU OpenMP spins there so many times before it sleeps (its
# default, said here because it counts). Beside other busy processes that is a disaster, as the threads take the CPU
# from the one they wait for: SmolLM2-135M, 2 threads on 2 CPUs, 24 tokens beside three busy processes took 70 to 90 s.
# On an idle box, where a thread that went to sleep while tokens were chosen has to be woken for the next step, eight
# streams have 290 tokens/s with 1,000 spins, 315 with 30,000 and 320 with these. So they are many, and the engine sees
# to it that they are few as soon as others want the CPUs (`llama.spin`).
_SPIN: Final = "300000"
# Every token goes over all weights, which 4 kB at a time are more pages than a CPU has in mind. In pages of 2 MB, for
# which glibc asks the kernel then, a step of one stream takes 4.3 ms instead of 4.4, and one of eight 19.5 instead of
# 20.7 (SmolLM2-135M, Q4_1, 2 threads on 2 CPUs, AMX).
_HUGE_PAGES: Final = "glibc.malloc.hugetlb=1"
_OURS: Final = MappingProxyType({"GOMP_SPINCOUNT": _SPIN, "GLIBC_TUNABLES": _HUGE_PAGES})


class LlamaCpp:
    """Launches `python -m local_models.llama`."""

    @property
    def policy(self) -> Policy:
        """A large GGUF on a slow disk may take minutes to load."""
        return Policy(start_limit=300.0, bad_model_exits=_BAD_MODEL)

    @property
    def takes_socket(self) -> bool:
        """It is handed one."""
        return True

    def environment(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Among others, how long threads that wait for each other keep their CPU, and how large pages are."""
        return {**_OURS, **inheritable(environ)}

    def canary(self, spec: EngineSpec) -> Canary:
        """One token."""
        return Canary(spec.runner)

    async def command(self, spec: EngineSpec, place: Place) -> tuple[str, ...]:
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
            str(place.socket),
            "--parallel",
            str(spec.parallel),
            "--context",
            str(spec.context),
            "--threads",
            str(spec.threads or cpu_count()),
            *(("--runner", "pooling") if spec.runner == "pooling" else ()),
            *(() if spec.pooling is None else ("--pooling", spec.pooling)),
            *spec.args,
        )
