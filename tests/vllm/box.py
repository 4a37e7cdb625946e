"""A home with a vLLM, and the gateway that runs there at present."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from local_models.client import EngineHost
from tests.e2e.deaths import light_and_mid
from tests.e2e.homes import home_folder, processes_of
from tests.e2e.stack import Stack, eventually, start
from tests.faults.handle import FaultServer
from tests.vllm.processes import log_of

START_S: Final = 420.0
ENVIRON: Final = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
_ALONE_MS: Final = 2_000


def engine_of_environment() -> dict[str, Any]:
    """The engine of a configuration. Raises KeyError where nobody has said which vLLM there is."""
    python, model = (os.environ[f"FOREBAY_TEST_VLLM_{what}"] for what in ("PYTHON", "MODEL"))
    return {"kind": "vllm", "python": python, "model": model, "parallel": 4, "context": 1024}


class Box:
    """vLLM is kept when the gateway ends: the next one finds it."""

    def __init__(self, home: Path, config: dict[str, Any]) -> None:
        self.home = home
        self._config = config
        self.gateway = self._begun()

    def start_again(self) -> None:
        """Another gateway, after this one has ended."""
        self.gateway.close(leaves_engines=True)
        self.gateway = self._begun()

    def up(self) -> Stack:
        """The gateway, once vLLM is up."""
        eventually(self.is_up, f"vLLM is up: {log_of(self.home)[-3000:]}", START_S)
        return self.gateway

    def is_up(self) -> bool:
        """Whether the light tier takes requests."""
        return bool(self.gateway.readiness()["tiers"]["light"]["state"] == "ready")

    def close(self) -> None:
        """End everything. Fails if something is left."""
        code = self.gateway.close(leaves_engines=True)
        asyncio.run(_stop_engines(self.home))
        eventually(lambda: not processes_of(self.home), f"nothing of {self.home} runs any more", 60)
        assert code == 0, self.gateway.err.all()

    def _begun(self) -> Stack:
        return start(self.home, self._config, ENVIRON).listening()


@contextmanager
def box(engine: dict[str, Any], faults: FaultServer) -> Iterator[Box]:
    """A box whose light tier is this vLLM, and whose mid tier is the fault server."""
    config = light_and_mid(faults, {**engine, "args": ["--enforce-eager"]}, _ALONE_MS)
    with home_folder() as home:
        it = Box(home, {**config, "server": {**config["server"], "keep_engines": True}})
        try:
            yield it
        finally:
            it.close()


async def _stop_engines(home: Path) -> None:
    host = await EngineHost.watch(home)
    if host is not None:
        await host.close(stop=True)
