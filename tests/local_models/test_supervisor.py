"""A supervisor and a real child process: the fake engine, which does on purpose what a healthy engine never does."""

import asyncio
import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from local_models.launch import NoRoomForIt, Place
from local_models.policy import Policy
from local_models.proctable import session_members
from local_models.types import EngineSnapshot, EngineSpec, EngineState
from tests.local_models.bench import QUICK, FakeLauncher, bench, fake_spec


async def test_an_engine_comes_up_by_way_of_health_and_canary(tmp_path: Path) -> None:
    """STARTING while it loads, WARMING until the canary is answered, then UP at a url that answers."""
    async with bench(tmp_path, fake_spec("--slow-start", "0.5")) as engine:
        up = await engine.until_state(EngineState.UP)
        assert engine.states() == [EngineState.STARTING, EngineState.WARMING, EngineState.UP]
        assert up.detail == ""
        assert up.slots == 8
        assert up.restarts == 0
        assert time.time() - up.since < 5
        async with httpx.AsyncClient(trust_env=False) as http:
            models = await http.get(f"{up.url}/v1/models")
        assert models.json()["data"][0]["id"] == "fake-model"
    assert engine.look().state is EngineState.STOPPED
    assert engine.look().pid is None


async def test_a_pooling_engine_proves_itself_with_a_vector(tmp_path: Path) -> None:
    """It has no chat to be asked for one token; it is up all the same."""
    async with bench(tmp_path, fake_spec("--vectors", "[0.6, -0.8]", runner="pooling")) as engine:
        assert (await engine.until_state(EngineState.UP)).detail == ""


async def test_without_a_vector_it_is_not_up(tmp_path: Path) -> None:
    """Nobody is sent to an engine that could not answer once."""
    async with bench(tmp_path, fake_spec("--vectors", "[]", runner="pooling")) as engine:
        asked = await engine.until(lambda snapshot: "canary failed" in snapshot.detail)
        assert (asked.state, asked.detail) == (EngineState.WARMING, "canary failed: no vector came")
        assert EngineState.UP not in engine.states()


async def test_a_stopped_engine_is_gone_with_its_whole_session(tmp_path: Path) -> None:
    """After a stop nothing of the engine's session is left, not even a grandchild that ignores SIGTERM."""
    async with bench(tmp_path, fake_spec("--grandchild")) as engine:
        pid = _pid(await engine.until_state(EngineState.UP))
        assert len(session_members(pid)) == 2
    assert session_members(pid) == ()


async def test_kill_9_brings_it_back_with_another_pid_and_no_orphan(tmp_path: Path) -> None:
    """A killed engine is noticed at once, swept up, and up again as another process on another port."""
    async with bench(tmp_path, fake_spec("--grandchild")) as engine:
        first = await engine.until_state(EngineState.UP)
        began = time.monotonic()
        os.kill(_pid(first), signal.SIGKILL)
        crashed = await engine.until_state(EngineState.RESTARTING)
        assert time.monotonic() - began < 1.0
        assert crashed.detail == "killed by signal 9"
        second = await engine.until_state(EngineState.UP)
        assert second.pid != first.pid
        assert second.url != first.url
        assert second.restarts == 1
        assert session_members(_pid(first)) == ()


async def test_exit_code_0_while_wanted_is_a_crash(tmp_path: Path) -> None:
    """vLLM ends with 0 when its engine core dies: it is launched again all the same."""
    async with bench(tmp_path, fake_spec("--exit-after", "1.0", "--exit-code", "0")) as engine:
        first = await engine.until_state(EngineState.UP)
        crashed = await engine.until_state(EngineState.RESTARTING)
        assert crashed.detail == "exited with code 0"
        assert (await engine.until_state(EngineState.UP)).pid != first.pid


async def test_crashing_again_and_again_ends_in_quarantine_with_the_reason(tmp_path: Path) -> None:
    """After the policy's number of crashes it is given up, with the last words of the engine as the detail."""
    spec = fake_spec("--say", "out of memory", "--exit-at-once", "1")
    async with bench(tmp_path, spec) as engine:
        quarantined = await engine.until_state(EngineState.QUARANTINE)
        assert "4 crashes in 120 s, tried again after 600 s" in quarantined.detail
        assert quarantined.detail.endswith("exited with code 1: out of memory")
        assert quarantined.pid is None
        assert quarantined.url is None
        assert quarantined.restarts == 3


async def test_a_bad_model_file_is_quarantined_at_once(tmp_path: Path) -> None:
    """Exit codes 3 and 4 say that the file is bad: no second launch, and the engine's own line is the detail."""
    line = "forebay engine: x.gguf is not a GGUF: pull the model again"
    async with bench(tmp_path, fake_spec("--say", line, "--exit-at-once", "3")) as engine:
        quarantined = await engine.until_state(EngineState.QUARANTINE)
        assert quarantined.detail == line
        assert quarantined.restarts == 0
        engine.supervisor.start()
        await engine.until(lambda snapshot: snapshot.state is EngineState.STARTING)
        await engine.until_state(EngineState.QUARANTINE)


async def test_a_command_that_cannot_be_run_is_said_so(tmp_path: Path) -> None:
    """A missing program is a crash like any other, with the system's own words."""
    async with bench(tmp_path, fake_spec(), FakeLauncher(program=("/nowhere/engine",))) as engine:
        quarantined = await engine.until_state(EngineState.QUARANTINE)
        assert "could not be started" in quarantined.detail
        assert "/nowhere/engine" in quarantined.detail


@pytest.mark.parametrize("mode", ["sick", "hang"])
async def test_an_unwell_engine_is_degraded_then_fenced_and_may_recover(tmp_path: Path, mode: str) -> None:
    """One failed check degrades, several fence; once healthy and past a canary it serves again, same process."""
    policy = dataclasses.replace(QUICK, hang_limit=60.0)
    async with bench(tmp_path, fake_spec(), FakeLauncher(policy)) as engine:
        first = await engine.until_state(EngineState.UP)
        await _set_health(first, mode)
        fenced = await engine.until_state(EngineState.FENCED)
        assert EngineState.DEGRADED in engine.states()
        assert fenced.detail == ("failed: the decode thread has ended" if mode == "sick" else "no answer in time")
        assert fenced.metrics is None
        await _set_health(first, "ok")
        again = await engine.until_state(EngineState.UP)
        assert (again.pid, again.restarts) == (first.pid, 0)


@pytest.mark.parametrize("mode", ["stuck", "deaf"])
async def test_an_engine_whose_health_hides_that_it_hangs_is_fenced_and_brought_back(tmp_path: Path, mode: str) -> None:
    """/health says 200, requests are running or nothing seems to be, no step is made, and a canary changes nothing."""
    policy = dataclasses.replace(QUICK, stall_limit=1.0, quiet_limit=1.0)
    async with bench(tmp_path, fake_spec(), FakeLauncher(policy)) as engine:
        first = await engine.until_state(EngineState.UP)
        await _set_health(first, mode)
        fenced = await engine.until_state(EngineState.FENCED)
        assert fenced.hung
        assert "/health says that it is well, but it has made no step for" in fenced.detail
        assert not any(snapshot.hung for snapshot in engine.seen[:-1])
        second = await engine.until_state(EngineState.UP)
        assert (second.hung, second.restarts) == (False, 1)


async def test_a_host_that_stood_still_gives_its_engine_the_time_that_it_has(tmp_path: Path) -> None:
    """What it did not look at for longer than a hang takes may have stood still with it; only then is it looked at."""
    policy = dataclasses.replace(QUICK, stall_limit=3.0, hang_limit=60.0)
    async with bench(tmp_path, fake_spec(), FakeLauncher(policy)) as engine:
        up = await engine.until_state(EngineState.UP)
        await _set_health(up, "stuck")
        await engine.until(lambda snapshot: snapshot.metrics is not None and snapshot.metrics.running == 1)
        threading.Event().wait(4.0)
        woken = asyncio.get_running_loop().time()
        await engine.until_state(EngineState.FENCED)
        assert asyncio.get_running_loop().time() - woken > 1.5


async def test_who_sent_requests_knows_better_than_figures_that_say_nothing_runs(tmp_path: Path) -> None:
    """A core that hangs before its next step has not said that it has requests; a client has."""
    policy = dataclasses.replace(QUICK, stall_limit=1.0, quiet_limit=600.0, hang_limit=60.0)
    async with bench(tmp_path, fake_spec(), FakeLauncher(policy)) as engine:
        up = await engine.until_state(EngineState.UP)
        await _set_health(up, "deaf")
        engine.supervisor.sent(2)
        fenced = await engine.until_state(EngineState.FENCED)
        assert (fenced.hung, fenced.pid) == (True, up.pid)


async def test_figures_that_stand_still_are_moved_by_a_canary(tmp_path: Path) -> None:
    """Who only has nothing to do (vllm #29928) is suspected, asked, and believed again."""
    policy = dataclasses.replace(QUICK, stall_limit=10.0)
    async with bench(tmp_path, fake_spec(), FakeLauncher(policy)) as engine:
        first = await engine.until_state(EngineState.UP)
        await _set_health(first, "stale")
        await engine.until_state(EngineState.DEGRADED)
        again = await engine.until_state(EngineState.UP)
        assert (again.pid, again.restarts) == (first.pid, 0)
        assert EngineState.FENCED not in engine.states()


async def test_an_engine_that_hangs_on_is_ended_although_it_ignores_sigterm(tmp_path: Path) -> None:
    """Fenced for longer than the limit: SIGTERM, SIGKILL after the grace, and a new launch."""
    async with bench(tmp_path, fake_spec("--deaf")) as engine:
        first = await engine.until_state(EngineState.UP)
        await _set_health(first, "sick")
        ending = await engine.until_state(EngineState.RESTARTING)
        assert ending.detail == "hung for 1 s: failed: the decode thread has ended"
        second = await engine.until_state(EngineState.UP)
        assert second.pid != first.pid
        assert session_members(_pid(first)) == ()


async def test_an_engine_that_never_gets_well_is_launched_again(tmp_path: Path) -> None:
    """Not up within the start limit counts as a crash, and the detail says what it was waiting for."""
    policy = dataclasses.replace(QUICK, start_limit=8.0)
    async with bench(tmp_path, fake_spec("--sick"), FakeLauncher(policy)) as engine:
        ending = await engine.until_state(EngineState.RESTARTING)
        assert ending.detail == "not up 8 s after its start: failed: the decode thread has ended"


async def test_no_requests_before_the_canary(tmp_path: Path) -> None:
    """An engine that is healthy but cannot answer one token never comes up."""
    policy = dataclasses.replace(QUICK, start_limit=2.0)
    async with bench(tmp_path, fake_spec("--bad-canary"), FakeLauncher(policy)) as engine:
        ending = await engine.until_state(EngineState.RESTARTING)
        assert "canary failed: /v1/chat/completions: HTTP 500" in ending.detail
        assert EngineState.UP not in engine.states()


async def test_a_stop_during_the_launch_leaves_nothing(tmp_path: Path) -> None:
    """Stopped before it was ever up, with a deaf process: gone after the grace."""
    async with bench(tmp_path, fake_spec("--deaf", "--slow-start", "60")) as engine:
        pid = _pid(await engine.until(lambda snapshot: snapshot.pid is not None))
    assert session_members(pid) == ()


async def test_a_cancelled_supervisor_takes_its_engine_along(tmp_path: Path) -> None:
    """Even without an orderly stop no engine outlives its supervisor."""
    async with bench(tmp_path, fake_spec()) as engine:
        up = await engine.until_state(EngineState.UP)
        engine.running.cancel()
        await asyncio.wait((engine.running,))
        assert session_members(_pid(up)) == ()


async def test_metrics_are_scraped_while_it_serves(tmp_path: Path) -> None:
    """A serving engine's snapshot carries its metrics; the canary's token is in them."""
    async with bench(tmp_path, fake_spec()) as engine:
        up = await engine.until(lambda snapshot: snapshot.metrics is not None)
        assert up.metrics is not None
        assert up.metrics.generation_tokens == 1
        assert up.metrics.kv_usage == 0.25
        assert up.metrics.preemptions is None


async def test_what_the_engine_prints_is_in_its_own_log(tmp_path: Path) -> None:
    """`engine-<name>.log` has a heading per launch and the engine's lines, for its owner only."""
    async with bench(tmp_path, fake_spec("--say", "loading tensors", name="small")) as engine:
        await engine.until_state(EngineState.UP)
    log = tmp_path / "engine-small.log"
    assert "launch 1 of small" in log.read_text()
    assert "loading tensors" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


async def test_no_secret_of_ours_reaches_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cloud keys in our environment are not in the engine's."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-51515")
    async with bench(tmp_path, fake_spec()) as engine:
        up = await engine.until_state(EngineState.UP)
        assert "sk-canary-51515" not in str(psutil.Process(_pid(up)).environ())


async def test_a_kinds_own_variables_yield_to_the_operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher's environment reaches the engine; what the operator has set stands."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    async with bench(tmp_path, fake_spec()) as engine:
        environment = psutil.Process(_pid(await engine.until_state(EngineState.UP))).environ()
        assert environment["FAKE_ENGINE"] == "1"
        assert environment["OMP_NUM_THREADS"] == "3"


def _pid(snapshot: EngineSnapshot) -> int:
    assert snapshot.pid is not None
    return snapshot.pid


async def _set_health(snapshot: EngineSnapshot, mode: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(f"{snapshot.url}/fake/health?mode={mode}")


class Full(FakeLauncher):
    """A launcher that finds no room, and counts how often it looked, until `room` is set."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.looked = 0
        self.room = False

    async def command(self, spec: EngineSpec, place: Place) -> tuple[str, ...]:
        """See `launch.Launcher`."""
        self.looked += 1
        if not self.room:
            raise NoRoomForIt("not enough memory on GPU 0: 72.0 GB needed, 20.0 GB free")
        return await super().command(spec, place)


async def test_an_engine_without_room_is_not_launched_until_there_is(tmp_path: Path) -> None:
    """It says why, is looked after again and again, and none of that is a crash."""
    launcher = Full(dataclasses.replace(QUICK, room_wait=0.05))
    async with bench(tmp_path, fake_spec(), launcher) as engine:
        await engine.until(lambda _: launcher.looked > QUICK.crash_limit)
        waiting = await engine.until_state(EngineState.QUARANTINE)
        assert waiting.detail == "not enough memory on GPU 0: 72.0 GB needed, 20.0 GB free"
        assert waiting.pid is None
        launcher.room = True
        up = await engine.until_state(EngineState.UP)
        assert up.restarts <= 1
