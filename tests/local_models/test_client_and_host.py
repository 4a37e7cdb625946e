"""A client and a real host process with fake engines: who keeps the engines alive, and who ends them."""

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import uvloop

from local_models.client import EngineHost, EngineSnapshot, EngineSpec, EngineState
from local_models.errors import EngineNotUp, HostError
from local_models.proctable import identify, session_members
from tests.local_models.bench import FAKE_HOST, FAKE_VLLM, PATIENCE_S, fake_spec, host_in_foreground

LINGER_S = 2.0


def command(linger: float = LINGER_S) -> tuple[str, ...]:
    """Starts a host of fake engines."""
    return (sys.executable, str(FAKE_HOST), "--linger", str(linger))


@asynccontextmanager
async def attached(home: Path, *specs: EngineSpec, linger: float = LINGER_S) -> AsyncIterator[EngineHost]:
    """A client whose host and engines are gone at the end."""
    engines = await EngineHost.attach(home, specs, command=command(linger))
    try:
        yield engines
    finally:
        await engines.close(stop=True)


async def until(engines: EngineHost, wanted: Callable[[Mapping[str, EngineSnapshot]], bool]) -> None:
    """Wait for snapshots like that. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not wanted(engines.snapshots()):
            await engines.changed()


def host_of(home: Path) -> psutil.Process:
    """The host process of this home."""
    for process in psutil.process_iter(["cmdline"]):
        if str(home) in (process.info["cmdline"] or ()) and "--detach" in process.info["cmdline"]:
            return process
    raise AssertionError(f"no host for {home}")


def gone(process: psutil.Process) -> None:
    """Wait for the end of a process that is not our child. Raises psutil.TimeoutExpired."""
    process.wait(PATIENCE_S)


def text_of(path: Path) -> str:
    """A file's text."""
    return path.read_text()


def mode_of(path: Path) -> int:
    """A file's kind and permissions."""
    return path.stat().st_mode


async def test_attach_starts_a_host_and_close_ends_everything(tmp_path: Path) -> None:
    """One call brings an engine up; closing with stop leaves neither engine nor host behind."""
    async with attached(tmp_path, fake_spec()) as engines:
        up = await engines.wait_up("fake", timeout=PATIENCE_S)
        host = host_of(tmp_path)
        assert up.url is not None
        assert up.pid is not None
    await asyncio.to_thread(gone, host)
    assert session_members(up.pid) == ()
    assert not (tmp_path / "run/engines.sock").exists()


async def test_a_client_that_vanishes_and_comes_back_finds_its_engine_running(tmp_path: Path) -> None:
    """A gateway restart costs no engine restart: same pid, no restarts."""
    first = await EngineHost.attach(tmp_path, [fake_spec()], command=command())
    before = await first.wait_up("fake", timeout=PATIENCE_S)
    await first.close(stop=False)
    async with attached(tmp_path, fake_spec()) as second:
        after = second.snapshots()["fake"]
        assert (after.pid, after.state, after.restarts) == (before.pid, EngineState.UP, 0)


async def test_engines_of_a_client_that_stays_away_are_stopped(tmp_path: Path) -> None:
    """After the linger time the host stops its engines and ends."""
    engines = await EngineHost.attach(tmp_path, [fake_spec()], command=command())
    up = await engines.wait_up("fake", timeout=PATIENCE_S)
    host = host_of(tmp_path)
    began = time.monotonic()
    await engines.close(stop=False)
    await asyncio.to_thread(gone, host)
    assert time.monotonic() - began > LINGER_S - 0.1
    assert up.pid is not None
    assert session_members(up.pid) == ()


async def test_engines_that_are_to_be_kept_outlast_the_linger_time(tmp_path: Path) -> None:
    """With `keep` a host without clients goes on; the next client finds the same engine and can stop it."""
    first = await EngineHost.attach(tmp_path, [fake_spec()], keep=True, command=command(linger=1.0))
    before = await first.wait_up("fake", timeout=PATIENCE_S)
    host = host_of(tmp_path)
    await first.close(stop=False)
    with pytest.raises(psutil.TimeoutExpired):
        await asyncio.to_thread(host.wait, 3.0)
    async with attached(tmp_path, fake_spec(), linger=1.0) as second:
        assert second.snapshots()["fake"].pid == before.pid
    await asyncio.to_thread(gone, host)


async def test_who_only_watches_changes_nothing(tmp_path: Path) -> None:
    """It sees the engines of another client, asks for none itself, and they go on when it leaves."""
    assert await EngineHost.watch(tmp_path) is None
    async with attached(tmp_path, fake_spec()) as engines:
        before = await engines.wait_up("fake", timeout=PATIENCE_S)
        watching = await EngineHost.watch(tmp_path)
        assert watching is not None
        assert (await watching.wait_up("fake", timeout=PATIENCE_S)).pid == before.pid
        await engines.close(stop=False)
        await watching.close(stop=False)
    async with attached(tmp_path, fake_spec()) as back:
        assert back.snapshots()["fake"].pid == before.pid


async def test_who_leaves_for_good_leaves_engines_to_others(tmp_path: Path) -> None:
    """While somebody else uses them they go on; with the last one they end at once, however long the linger time."""
    first = await EngineHost.attach(tmp_path, [fake_spec()], command=command(linger=600))
    second = await EngineHost.attach(tmp_path, [fake_spec()], command=command(linger=600))
    before = await first.wait_up("fake", timeout=PATIENCE_S)
    assert before.pid is not None
    host = host_of(tmp_path)
    await first.leave()
    assert (await second.wait_up("fake", timeout=PATIENCE_S)).pid == before.pid
    await second.leave()
    assert session_members(before.pid) == ()
    await asyncio.to_thread(gone, host)


async def test_after_the_last_one_has_left_there_is_no_host(tmp_path: Path) -> None:
    """Who comes then is told so, or gets another one: leaving takes as long as the engines need to end."""
    for _ in range(2):
        engines = await EngineHost.attach(tmp_path, [fake_spec()], command=command())
        await engines.wait_up("fake", timeout=PATIENCE_S)
        await engines.leave()
        assert await EngineHost.watch(tmp_path) is None


async def test_another_spec_of_the_same_name_is_another_engine(tmp_path: Path) -> None:
    """A changed spec restarts that engine alone; an engine that is not named any more is stopped."""
    first = await EngineHost.attach(tmp_path, [fake_spec(name="a"), fake_spec(name="b")], command=command())
    before = {name: await first.wait_up(name, timeout=PATIENCE_S) for name in ("a", "b")}
    await first.close(stop=False)
    async with attached(tmp_path, fake_spec("--say", "other", name="a")) as second:
        after = await second.wait_up("a", timeout=PATIENCE_S)
        assert after.pid != before["a"].pid
        assert tuple(second.snapshots()) == ("a",)
        assert before["b"].pid is not None
        assert session_members(before["b"].pid) == ()


async def test_kill_9_of_the_host_fences_at_once_and_is_mended_without_help(tmp_path: Path) -> None:
    """No engine outlives a killed host; the client fences, starts another host, and the engine is up again."""
    async with attached(tmp_path, fake_spec()) as engines:
        before = await engines.wait_up("fake", timeout=PATIENCE_S)
        assert before.pid is not None
        engine = psutil.Process(before.pid)
        host_of(tmp_path).send_signal(signal.SIGKILL)
        await until(engines, lambda now: now["fake"].state is EngineState.FENCED)
        assert "engine host" in engines.snapshots()["fake"].detail
        await asyncio.to_thread(gone, engine)
        after = await engines.wait_up("fake", timeout=PATIENCE_S)
        assert after.pid != before.pid


async def test_an_engine_that_outlives_its_host_is_ended_by_the_next(tmp_path: Path) -> None:
    """An engine without parent-death signal is found by pid and start time and ended, with its session."""
    spec = fake_spec("--outlives-parent", "--grandchild")
    async with attached(tmp_path, spec) as engines:
        before = await engines.wait_up("fake", timeout=PATIENCE_S)
        assert before.pid is not None
        assert len(session_members(before.pid)) == 2
        host_of(tmp_path).send_signal(signal.SIGKILL)
        await until(engines, lambda now: now["fake"].state is EngineState.FENCED)
        await engines.wait_up("fake", timeout=PATIENCE_S)
        assert session_members(before.pid) == ()
    assert "of an earlier host was ended" in (tmp_path / "logs/engine-host.log").read_text()


async def test_a_host_and_a_guard_that_die_together_leave_nothing_to_the_next_host(tmp_path: Path) -> None:
    """vLLM's processes run on then, one in a session of its own: the next host knows all of them from the record."""
    async with attached(tmp_path, FAKE_VLLM) as engines:
        guard = psutil.Process((await engines.wait_up("gpu", timeout=PATIENCE_S)).pid)
        (server,) = guard.children()
        (core,) = server.children()
        record = tmp_path / "run" / "engines.json"
        async with asyncio.timeout(PATIENCE_S):
            while str(core.pid) not in text_of(record):
                await engines.changed()
        guard.suspend()
        host_of(tmp_path).kill()
        guard.kill()
        await until(engines, lambda now: now["gpu"].state is EngineState.FENCED)
        await engines.wait_up("gpu", timeout=PATIENCE_S)
        assert identify(server.pid) is None
        assert identify(core.pid) is None


async def test_a_silent_host_is_not_believed(tmp_path: Path) -> None:
    """A stopped (SIGSTOP) host says nothing: its engines are fenced until it speaks again, and keep their pid."""
    async with attached(tmp_path, fake_spec(), linger=60.0) as engines:
        before = await engines.wait_up("fake", timeout=PATIENCE_S)
        host = host_of(tmp_path)
        host.suspend()
        try:
            await until(engines, lambda now: now["fake"].state is EngineState.FENCED)
            assert "has said nothing for 5 s" in engines.snapshots()["fake"].detail
        finally:
            host.resume()
        after = await engines.wait_up("fake", timeout=PATIENCE_S)
        assert after.pid == before.pid


async def test_sigterm_stops_engines_and_host(tmp_path: Path) -> None:
    """SIGTERM to the host: engines are stopped, exit code 0."""
    async with host_in_foreground(tmp_path) as process:
        engines = await EngineHost.attach(tmp_path, [fake_spec()], command=command())
        up = await engines.wait_up("fake", timeout=PATIENCE_S)
        await engines.close(stop=False)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
        assert up.pid is not None
        assert session_members(up.pid) == ()


async def test_there_is_one_host_per_home(tmp_path: Path) -> None:
    """Clients that start at the same time end up at one host, with one engine between them."""
    attaching = [EngineHost.attach(tmp_path, [fake_spec()], command=command()) for _ in range(3)]
    clients = await asyncio.gather(*attaching)
    ups = [await client.wait_up("fake", timeout=PATIENCE_S) for client in clients]
    assert len({up.pid for up in ups}) == 1
    for client in clients:
        await client.close(stop=True)


async def test_a_host_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The host's own last line is in the error, with the way to its log."""
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(HostError, match=r"engine host did not start: .*run.*its log"):
        await EngineHost.attach(tmp_path, [fake_spec()], command=command())


async def test_a_home_with_a_long_path_works(tmp_path: Path) -> None:
    """A unix socket's path is limited to about 100 bytes; a longer home uses a short one and says which."""
    home = tmp_path / ("long" * 30)
    async with attached(home, fake_spec()) as engines:
        await engines.wait_up("fake", timeout=PATIENCE_S)
        used = Path(text_of(home / "run/engines.sock.path"))
        assert stat.S_ISSOCK(mode_of(used))
        assert stat.S_IMODE(mode_of(used.parent)) == 0o700


async def test_waiting_for_an_engine_that_was_given_up_ends_at_once(tmp_path: Path) -> None:
    """`wait_up` raises with the engine's own line instead of waiting for its time to pass."""
    line = "forebay engine: bad.gguf is not a GGUF: pull it again"
    async with attached(tmp_path, fake_spec("--say", line, "--exit-at-once", "3")) as engines:
        with pytest.raises(EngineNotUp, match=r"quarantine: forebay engine: bad\.gguf is not a GGUF"):
            await engines.wait_up("fake", timeout=PATIENCE_S)
        with pytest.raises(EngineNotUp, match="no engine 'other'; there are: fake"):
            await engines.wait_up("other", timeout=1)


async def test_waiting_in_vain_says_what_it_waited_for(tmp_path: Path) -> None:
    """After the time given the error has state and detail."""
    async with attached(tmp_path, fake_spec("--slow-start", "60")) as engines:
        with pytest.raises(EngineNotUp, match="engine fake is starting after 1 s: "):
            await engines.wait_up("fake", timeout=1.0)


async def test_socket_and_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    """Who may connect may launch programs' arguments: mode 0600 in a folder of mode 0700."""
    async with attached(tmp_path, fake_spec()):
        assert stat.S_IMODE(mode_of(tmp_path / "run")) == 0o700
        assert stat.S_IMODE(mode_of(tmp_path / "run/engines.sock")) == 0o600


async def test_the_host_holds_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host stays when the gateway goes; the gateway's keys do not stay with it."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-canary-7781")
    async with attached(tmp_path, fake_spec()):
        assert "sk-ant-canary-7781" not in str(host_of(tmp_path).environ())
        assert os.environ["ANTHROPIC_API_KEY"] == "sk-ant-canary-7781"


def test_it_works_on_the_gateways_event_loop(tmp_path: Path) -> None:
    """The gateway runs on uvloop, which starts children in a way of its own; the host keeps nothing of the caller's."""

    async def use() -> None:
        async with attached(tmp_path, fake_spec()) as engines:
            await engines.wait_up("fake", timeout=PATIENCE_S)
            files = {file.path for file in host_of(tmp_path).open_files()}
            assert files == {
                str(tmp_path / "logs/engine-host.log"),
                str(tmp_path / "logs/engine-fake.log"),
                str(tmp_path / "run/host.lock"),
            }

    uvloop.run(use())


async def test_what_a_client_has_in_flight_reaches_the_watchdog(tmp_path: Path) -> None:
    """Its figures say that nothing runs and its health that it is well; that requests wait is known from outside."""
    async with attached(tmp_path, FAKE_VLLM) as engines:
        up = await engines.wait_up("gpu", timeout=PATIENCE_S)
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(f"{up.url}/fake/health?mode=deaf")
        await engines.tell({"gpu": 1})
        await until(engines, lambda now: now["gpu"].hung)
        assert engines.snapshots()["gpu"].state is EngineState.FENCED
