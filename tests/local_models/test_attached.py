"""Servers that somebody else runs: watched and fenced, never touched."""

import asyncio
import dataclasses
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local_models.attached import AttachedEngine, Watched, combine, judge
from local_models.probe import EngineProbe, Listed, Verdict
from local_models.roster import Roster
from local_models.supervisor import Surroundings
from local_models.types import EngineMetrics, EngineSnapshot, EngineSpec, EngineState
from tests.local_models.bench import FAKE_ENGINE, PATIENCE_S

WELL, ILL = Verdict(ok=True), Verdict(ok=False, why="HTTP 503")
SPEC = EngineSpec(name="far", kind="attached", model="m", urls=("http://a", "http://b"), parallel=4)


@contextmanager
def server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Somebody's server: (url, process)."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        arguments = ("--fd", str(listener.fileno()), "--name", "theirs")
        process = subprocess.Popen((sys.executable, str(FAKE_ENGINE), *arguments), pass_fds=(listener.fileno(),))
    with process:
        try:
            yield url, process
        finally:
            process.kill()


async def until(
    engine: AttachedEngine, changed: asyncio.Event, wanted: Callable[[EngineSnapshot], bool]
) -> EngineSnapshot:
    """The first snapshot from now on that is as wanted. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not wanted(latest := engine.snapshot()):
            changed.clear()
            await changed.wait()
    return latest


async def test_servers_are_watched_and_never_touched(tmp_path: Path) -> None:
    """Both up; one stops answering: the other is chosen; both gone: fenced; the watcher's end ends nobody."""
    changed = asyncio.Event()
    with server() as (url, first), server() as (other, second):
        async with httpx.AsyncClient(trust_env=False) as http:
            spec = EngineSpec(name="far", kind="attached", model="m", urls=(url, f"{other}/"))
            around = Surroundings(http, tmp_path, Roster(tmp_path / "engines.json"), changed.set)
            engine = AttachedEngine(spec, around)
            assert engine.snapshot().state is EngineState.STARTING
            running = asyncio.create_task(engine.run())
            up = await until(engine, changed, lambda now: now.state is EngineState.UP)
            assert [replica.url for replica in up.replicas] == [url, other]
            assert up.metrics is not None
            assert up.pid is None
            first.send_signal(signal.SIGSTOP)
            half = await until(engine, changed, lambda now: now.replicas[0].state is EngineState.FENCED)
            assert (half.state, half.url) == (EngineState.DEGRADED, other)
            second.kill()
            gone = await until(engine, changed, lambda now: now.state is EngineState.FENCED)
            assert gone.url is None
            assert "nobody listens" in gone.detail
            first.send_signal(signal.SIGCONT)
            again = await until(engine, changed, lambda now: now.url == url)
            assert again.state is EngineState.DEGRADED
            engine.stop()
            await asyncio.wait_for(running, PATIENCE_S)
            assert engine.snapshot().state is EngineState.STOPPED
            assert first.poll() is None


@pytest.mark.parametrize(("mode", "in_flight"), [("stuck", 0), ("deaf", 1)])
async def test_a_server_that_hangs_behind_its_health_is_fenced_until_it_gets_on(
    tmp_path: Path, mode: str, in_flight: int
) -> None:
    """It says that requests run, or who sent them does; no step is made, a canary changes nothing; it is not ended."""
    changed = asyncio.Event()
    with server() as (url, process):
        async with httpx.AsyncClient(trust_env=False) as http:
            spec = EngineSpec(name="far", kind="attached", model="", urls=(url,))
            around = Surroundings(http, tmp_path, Roster(tmp_path / "engines.json"), changed.set)
            engine = AttachedEngine(spec, around, stall_limit=1.0)
            running = asyncio.create_task(engine.run())
            await until(engine, changed, lambda now: now.state is EngineState.UP)
            engine.sent(in_flight)
            await http.get(f"{url}/fake/health?mode={mode}")
            fenced = await until(engine, changed, lambda now: now.state is EngineState.FENCED)
            assert (fenced.hung, fenced.replicas[0].hung) == (True, True)
            assert "has made no step for" in fenced.detail
            engine.sent(0)
            await http.get(f"{url}/fake/health?mode=ok")
            again = await until(engine, changed, lambda now: now.state is EngineState.UP)
            assert not again.hung
            engine.stop()
            await asyncio.wait_for(running, PATIENCE_S)
            assert process.poll() is None


async def test_a_server_without_health_is_judged_by_its_model_list(tmp_path: Path) -> None:
    """OpenAI-compatible servers need not have /health."""
    from_nowhere = httpx.MockTransport(
        lambda request: httpx.Response(200 if request.url.path == "/v1/models" else 404, json={"data": []})
    )
    changed = asyncio.Event()
    async with httpx.AsyncClient(transport=from_nowhere) as http:
        around = Surroundings(http, tmp_path, Roster(tmp_path / "engines.json"), changed.set)
        engine = AttachedEngine(SPEC, around)
        running = asyncio.create_task(engine.run())
        up = await until(engine, changed, lambda now: now.state is EngineState.UP)
        assert up.metrics is None
        engine.stop()
        await asyncio.wait_for(running, PATIENCE_S)


async def test_an_address_that_cannot_be_asked_is_unwell_and_no_defect(tmp_path: Path) -> None:
    """A url that passes for one and is none ends in a fence, not in the end of the host."""
    async with httpx.AsyncClient(trust_env=False) as http:
        for url in ("http://[::1", "http://a:b", "http://\N{SNOWMAN}.invalid", "http://127.0.0.1:1"):
            verdict = await EngineProbe(url, http).health()
            assert not verdict.ok
            assert verdict.why
            assert await EngineProbe(url, http).metrics() is None
            assert not (await EngineProbe(url, http).canary()).ok


@pytest.mark.parametrize(
    ("verdicts", "states"),
    [
        ([WELL], ["up"]),
        ([ILL], ["fenced"]),
        ([WELL, ILL], ["up", "degraded"]),
        ([WELL, ILL, WELL], ["up", "degraded", "up"]),
        ([WELL, ILL, ILL, ILL], ["up", "degraded", "degraded", "fenced"]),
        ([WELL, ILL, ILL, ILL, ILL, WELL], ["up", "degraded", "degraded", "fenced", "fenced", "up"]),
    ],
)
def test_one_hiccup_is_forgiven(verdicts: list[Verdict], states: list[str]) -> None:
    """A server that served may fail twice in a row; one that never served is fenced at once."""
    watched, seen = Watched("http://a"), []
    for at, verdict in enumerate(verdicts, start=1):
        watched = judge(watched, verdict, None, float(at))
        seen.append(watched.state.value)
    assert seen == states


def test_what_a_server_lists_is_asked_again_after_it_was_away() -> None:
    """Another one may have taken its place; a hiccup is no reason to ask."""
    watched = dataclasses.replace(judge(Watched("http://a"), WELL, None, 1.0), listed=Listed("m", ("tools",)))
    hiccup = judge(watched, ILL, None, 2.0)
    assert hiccup.listed == watched.listed
    assert judge(judge(hiccup, ILL, None, 3.0), ILL, None, 4.0).listed is None


@pytest.mark.parametrize(
    ("first", "second", "capabilities"),
    [
        (("tools", "n"), ("n", "tools"), ("tools", "n")),
        (("tools", "n"), ("n",), ("n",)),
        (("tools", "n"), (), ()),
        (("tools", "n"), None, None),
        (None, None, None),
    ],
)
def test_an_engine_can_do_what_all_its_servers_can(
    first: tuple[str, ...] | None, second: tuple[str, ...] | None, capabilities: tuple[str, ...] | None
) -> None:
    """Whichever is chosen must be able to; who says nothing of it leaves it to the configuration."""
    watched = tuple(
        dataclasses.replace(Watched(address), state=EngineState.UP, listed=Listed("m", said))
        for address, said in zip(SPEC.urls, (first, second), strict=True)
    )
    assert combine(SPEC, watched, since=1.0).capabilities == capabilities
    away = dataclasses.replace(watched[1], state=EngineState.FENCED)
    assert combine(SPEC, (watched[0], away), since=1.0).capabilities == first


def test_since_is_when_the_state_began() -> None:
    """A check that changes nothing does not restart the clock."""
    first = judge(Watched("http://a"), WELL, None, 1.0)
    assert judge(first, WELL, None, 2.0).since == 1.0
    assert judge(first, ILL, None, 3.0).since == 3.0


@pytest.mark.parametrize(
    ("first", "second", "state", "url"),
    [
        (("up", 5), ("up", 2), "up", "http://a"),
        (("up", 9), ("degraded", 0), "degraded", "http://a"),
        (("degraded", 0), ("up", 9), "degraded", "http://b"),
        (("degraded", 0), ("degraded", 0), "degraded", "http://a"),
        (("fenced", 0), ("up", 9), "degraded", "http://b"),
        (("fenced", 0), ("starting", 0), "starting", None),
        (("fenced", 0), ("fenced", 0), "fenced", None),
    ],
)
def test_the_first_healthy_url_is_named(
    first: tuple[str, int], second: tuple[str, int], state: str, url: str | None
) -> None:
    """Healthy before hiccuping, then in the order of the configuration, however much each has to do: an address that
    changed with every scrape would look like another engine.
    """
    watched = tuple(
        dataclasses.replace(
            Watched(address), state=EngineState(name), metrics=EngineMetrics(at=1.0, running=load, waiting=0)
        )
        for address, (name, load) in zip(SPEC.urls, (first, second), strict=True)
    )
    snapshot = combine(SPEC, watched, since=1.0)
    assert (snapshot.state.value, snapshot.url) == (state, url)
    assert snapshot.slots == 4
    assert len(snapshot.replicas) == 2


@pytest.mark.parametrize(
    ("body", "listed"),
    [
        ({"data": [{"id": "m", "capabilities": ["tools", "n"]}, {"id": "n"}]}, Listed("m", ("tools", "n"))),
        ({"data": [{"id": "m"}]}, Listed("m", None)),
        ({"data": [{"id": "m", "capabilities": {"vision": True}}]}, Listed("m", None)),
        ({"data": [{"id": "m", "capabilities": [1]}]}, Listed("m", None)),
        ({"data": []}, None),
        ({"models": []}, None),
    ],
)
async def test_what_a_server_lists_is_read_whatever_else_it_says(body: object, listed: Listed | None) -> None:
    """Other servers mean other things by `capabilities`; their model is still their model."""
    somebody = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    async with httpx.AsyncClient(transport=somebody) as http:
        assert await EngineProbe("http://a", http).listed() == listed
