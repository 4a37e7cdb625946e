"""Kind `vllm`: `vllm serve`, from an environment or a container image of its own, under our guard."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from local_models.environment import inheritable_by_vllm
from local_models.launch import NoRoomForIt, Place
from local_models.policy import Policy
from local_models.probe import Canary
from local_models.proctable import signal_group
from local_models.types import EngineSpec
from local_models.vllm_memory import shortage

_MAIN: Final = ("-m", "vllm.entrypoints.cli.main")
_NAME_VERSION: Final = "import importlib.metadata; print(importlib.metadata.version('vllm'))"
_VERSION: Final = re.compile(r"\b(\d+)\.(\d+)\.\d+(\S*)")
QUEUE_FLAGS_SINCE: Final = (0, 29)
"""Older ones have no limit of their own queue."""
# `vllm --version` imports torch; from a cold disk, or out of a container image, that takes its time.
_ASK_S: Final = 120.0
# Enough to seed what is known of the speed of prefills, and to have met the kernels that long prompts use.
_CANARY_TOKENS: Final = 512
_ENVIRONMENT: Final = MappingProxyType(
    {
        # What runs on this box, and for whom, is nobody else's affair.
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # A file in the folder where Forebay was started must not stand in for one of vLLM's modules.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }
)

Version = tuple[int, int]
Device = Literal["cpu", "gpu"]


class Build(Struct, frozen=True):
    """Which vLLM a program is. `variant` stands behind the +: cpu, rocm723, cu129; NVIDIA's usual one has none."""

    version: Version
    variant: str = ""

    @property
    def device(self) -> Device | None:
        """What it was built for; None for what nothing is known of here."""
        if self.variant.startswith("cpu"):
            return "cpu"
        return "gpu" if self.variant == "" or self.variant.startswith(("cu", "g")) else None


class Vllm:
    """Launches `vllm serve`. Builds are asked for once per program."""

    def __init__(self) -> None:
        self._builds: dict[tuple[str, ...], Build] = {}

    @property
    def policy(self) -> Policy:
        """It may have to fetch its model, and compile for minutes; so a crash at its start comes late, too.

        A hang of its server (three times the limit, and a second until it is looked at) or of its core is known in four
        seconds, so that callers can be told in five on a busy machine too.
        """
        return Policy(
            start_limit=1800.0,
            answer_limit=0.8,
            stall_limit=3.0,
            hang_limit=15.0,
            backoff_first=1.0,
            backoff_limit=60.0,
            crash_window=600.0,
            quarantine_first=60.0,
        )

    @property
    def takes_socket(self) -> bool:
        """It binds its port by itself."""
        return False

    def environment(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """See `launch.Launcher`."""
        return {**_ENVIRONMENT, **inheritable_by_vllm(environ)}

    async def command(self, spec: EngineSpec, place: Place) -> tuple[str, ...]:
        """See `launch.Launcher`. Raises OSError when the program cannot be run, and NoRoomForIt."""
        program, build = program_of(spec), await self.build(spec)
        device = None if build is None else build.device
        short = None if device is None else await asyncio.to_thread(shortage, spec, os.environ, device)
        if short is not None:
            raise NoRoomForIt(str(short))
        words = (*program, *serve_words(spec, place.port, None if build is None else build.version))
        guard = Path(__file__).with_name("guard.py")
        return (sys.executable, "-I", str(guard), str(os.getpid()), *words)

    def canary(self, spec: EngineSpec) -> Canary:
        """One token, and then a prompt of 512, or of as many as two tokens leave room for."""
        return Canary(spec.runner, spec.model, min(_CANARY_TOKENS, spec.context - 2))

    async def build(self, spec: EngineSpec) -> Build | None:
        """What the program says it is; None where it says nothing. Raises OSError when it cannot be run."""
        program = program_of(spec)
        if program not in self._builds and (found := await self._ask_build(spec)) is not None:
            self._builds[program] = found
        return self._builds.get(program)

    async def _ask_build(self, spec: EngineSpec) -> Build | None:
        words = (spec.python, "-c", _NAME_VERSION) if spec.python else (*spec.command, "--version")
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(self.environment(os.environ)),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_ASK_S):
                said, _ = await process.communicate()
        except TimeoutError:
            return None
        finally:
            signal_group(process.pid, signal.SIGKILL)
        return build_of(said.decode(errors="replace"))


def program_of(spec: EngineSpec) -> tuple[str, ...]:
    """What stands for the command `vllm`."""
    return spec.command or (str(spec.python), *_MAIN)


def serve_words(spec: EngineSpec, port: int, version: Version | None) -> tuple[str, ...]:
    """The words behind `vllm` that do what the spec says. `version` None is unknown: it gets what all versions take."""
    return (
        "serve",
        str(spec.path),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--served-model-name",
        spec.model,
        "--max-num-seqs",
        str(spec.parallel),
        "--max-model-len",
        str(spec.context),
        *(("--runner", "pooling") if spec.runner == "pooling" else ()),
        *(_queue_words(spec) if version is not None and version >= QUEUE_FLAGS_SINCE else ()),
        # It is asked for its health every second.
        "--disable-uvicorn-access-log",
        *spec.args,
    )


def _queue_words(spec: EngineSpec) -> tuple[str, ...]:
    """A valve below our gate, which lets no more than `parallel` requests through.

    Twice as many, because a request that was cancelled is let go here before it is there, and all may be cancelled at
    once. In tokens it is what the slots can hold.
    """
    tokens = spec.parallel * spec.context
    return ("--max-num-queued-reqs", str(2 * spec.parallel), "--max-num-queued-tokens", str(tokens))


def build_of(text: str) -> Build | None:
    """What a program says it is; None when it says no version."""
    found = _VERSION.search(text)
    return None if found is None else Build((int(found[1]), int(found[2])), found[3].partition("+")[2])
