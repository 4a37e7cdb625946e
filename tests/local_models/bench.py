"""What the tests of engine processes share: the fake engine's launcher, and a bench that runs one supervisor."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from local_models.environment import inheritable
from local_models.launch import Launcher, Place
from local_models.policy import Policy
from local_models.probe import Canary
from local_models.roster import Roster
from local_models.supervisor import EngineSupervisor, Surroundings
from local_models.types import EngineSnapshot, EngineSpec, EngineState, Runner

FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")
FAKE_HOST = Path(__file__).with_name("fake_host.py")
_ROOT = Path(__file__).parents[2]
_FAKE_VLLM = (
    f"import sys; sys.path[:0] = [{str(_ROOT)!r}]; from tests.local_models.fake_vllm import main; main(sys.argv[1:])"
)
FAKE_VLLM = EngineSpec(
    name="gpu",
    kind="vllm",
    model="fake",
    path="nobody/reads-it",
    command=(sys.executable, "-c", _FAKE_VLLM),
    context=600,
)
PATIENCE_S = 30.0

QUICK = Policy(
    start_limit=20.0,
    fence_after=2,
    hang_limit=1.0,
    grace=1.0,
    backoff_first=0.05,
    backoff_limit=0.4,
    crash_limit=4,
    quarantine_first=600.0,
    bad_model_exits=frozenset((3, 4)),
)


class FakeLauncher:
    """Launches `fake_engine.py` where the real one would be launched."""

    def __init__(self, policy: Policy = QUICK, program: tuple[str, ...] = (sys.executable, str(FAKE_ENGINE))) -> None:
        self.policy = policy
        self.takes_socket = True
        self._program = program

    def environment(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """See `launch.Launcher`."""
        return {"FAKE_ENGINE": "1", "OMP_NUM_THREADS": "7", **inheritable(environ)}

    def canary(self, spec: EngineSpec) -> Canary:
        """See `launch.Launcher`."""
        return Canary(spec.runner)

    async def command(self, spec: EngineSpec, place: Place) -> tuple[str, ...]:
        """See `launch.Launcher`."""
        return (*self._program, "--fd", str(place.socket), "--name", spec.model, *spec.args)


def fake_spec(*args: str, name: str = "fake", runner: Runner = "generate") -> EngineSpec:
    """A fake engine with these arguments."""
    return EngineSpec(name=name, kind="llama_cpp", model="fake-model", path="/nowhere.gguf", args=args, runner=runner)


class Bench:
    """One supervisor at work, and everything it has been seen to be."""

    def __init__(self, supervisor: EngineSupervisor, changed: asyncio.Event) -> None:
        self.supervisor = supervisor
        self.running = asyncio.create_task(supervisor.run())
        self.seen: list[EngineSnapshot] = []
        self._changed = changed

    async def until(self, wanted: Callable[[EngineSnapshot], bool]) -> EngineSnapshot:
        """The first snapshot from now on that is as wanted. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while not wanted(latest := self.look()):
                self._changed.clear()
                await self._changed.wait()
            return latest

    async def until_state(self, state: EngineState) -> EngineSnapshot:
        """The first snapshot from now on in this state."""
        return await self.until(lambda snapshot: snapshot.state is state)

    def look(self) -> EngineSnapshot:
        """The present snapshot."""
        latest = self.supervisor.snapshot()
        self.seen.append(latest)
        return latest

    def states(self) -> list[EngineState]:
        """The states seen, in order, each once per stay."""
        found: list[EngineState] = []
        for snapshot in self.seen:
            if not found or found[-1] is not snapshot.state:
                found.append(snapshot.state)
        return found


@asynccontextmanager
async def bench(folder: Path, spec: EngineSpec, launcher: Launcher | None = None) -> AsyncIterator[Bench]:
    """Run a supervisor for `spec`; at the end it is stopped and must be gone."""
    changed = asyncio.Event()
    async with httpx.AsyncClient(trust_env=False) as http:
        around = Surroundings(http, folder, Roster(folder / "engines.json"), changed.set)
        at_work = Bench(EngineSupervisor(spec, launcher or FakeLauncher(), around), changed)
        await asyncio.sleep(0)  # it takes its first step: from here on it is wanted
        try:
            yield at_work
        finally:
            at_work.supervisor.stop()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait((at_work.running,))


@asynccontextmanager
async def host_in_foreground(home: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A host in the foreground that listens; stopped at the end."""
    program = (sys.executable, str(FAKE_HOST), "--home", str(home), *arguments)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"listens on" in await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), PATIENCE_S)
