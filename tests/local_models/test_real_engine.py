"""The real llama.cpp engine with the real model, run by a real host: started, killed, brought back, and never left."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from local_models.client import EngineHost, EngineSnapshot, EngineSpec, EngineState
from local_models.errors import EngineNotUp
from local_models.hardware import cpu_count
from local_models.proctable import session_members

START_S = 60.0
BACK_S = 30.0
CHAT = {"messages": [{"role": "user", "content": "Tell me a story."}], "model": "smollm2", "temperature": 0}


def real_spec(path: Path) -> EngineSpec:
    """The model on the CPU, small, with as many threads as there are CPUs."""
    return EngineSpec(name="small", kind="llama_cpp", model="smollm2", path=str(path), parallel=2, context=512)


@asynccontextmanager
async def attached(home: Path, spec: EngineSpec) -> AsyncIterator[EngineHost]:
    """A client; at the end engine and host are stopped."""
    engines = await EngineHost.attach(home, [spec])
    try:
        yield engines
    finally:
        await engines.close(stop=True)


def host_of(home: Path) -> psutil.Process:
    """The host process of this home."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if "local_models.host" in words and str(home) in words:
            return process
    raise AssertionError(f"no host for {home}")


async def answer(url: str | None, tokens: int = 6) -> str:
    """What the engine says to `CHAT`."""
    async with httpx.AsyncClient(trust_env=False, timeout=START_S) as http:
        said = await http.post(f"{url}/v1/chat/completions", json={**CHAT, "max_tokens": tokens})
        said.raise_for_status()
        return str(said.json()["choices"][0]["message"]["content"])


async def until(engines: EngineHost, wanted: Callable[[EngineSnapshot], bool]) -> EngineSnapshot:
    """The first snapshot from now on that is as wanted. Raises TimeoutError."""
    async with asyncio.timeout(BACK_S):
        while not wanted(latest := engines.snapshots()["small"]):
            await engines.changed()
        return latest


async def test_start_kill_9_and_back(tmp_path: Path, model_path: Path) -> None:
    """It answers; killed, it answers again from another process within 30 s; nothing of either is left."""
    async with attached(tmp_path, real_spec(model_path)) as engines:
        first = await engines.wait_up("small", timeout=START_S)
        assert first.capabilities == ("json_object", "json_schema", "logprobs", "n", "forced_tools")
        assert first.pid is not None
        said = await answer(first.url)
        assert said
        killed = time.monotonic()
        os.kill(first.pid, signal.SIGKILL)
        await until(engines, lambda now: now.pid != first.pid)
        assert time.monotonic() - killed < 1.0
        second = await engines.wait_up("small", timeout=BACK_S)
        assert second.pid is not None
        assert second.pid != first.pid
        assert await answer(second.url) == said
        assert session_members(first.pid) == ()
        host = host_of(tmp_path)
    await asyncio.to_thread(host.wait, BACK_S)
    assert session_members(second.pid) == ()


async def test_a_pooling_engine_comes_up_and_gives_vectors(tmp_path: Path, embedding_model_path: Path) -> None:
    """The host runs it as any other; it has no chat, and needs none."""
    spec = EngineSpec(
        name="vectors",
        kind="llama_cpp",
        model="minilm",
        path=str(embedding_model_path),
        parallel=2,
        context=512,
        runner="pooling",
    )
    async with attached(tmp_path, spec) as engines:
        up = await engines.wait_up("vectors", timeout=START_S)
        async with httpx.AsyncClient(trust_env=False, timeout=START_S) as http:
            said = await http.post(f"{up.url}/v1/embeddings", json={"model": "minilm", "input": ["a", "b"]})
    assert len(said.json()["data"]) == 2


async def test_a_gateway_restart_keeps_the_engine(tmp_path: Path, model_path: Path) -> None:
    """A client that drops and comes back with the same spec finds the same process, and its metrics."""
    gone = await EngineHost.attach(tmp_path, [real_spec(model_path)])
    before = await gone.wait_up("small", timeout=START_S)
    await gone.close(stop=False)
    async with attached(tmp_path, real_spec(model_path)) as engines:
        after = await engines.wait_up("small", timeout=1.0)
        assert (after.pid, after.url, after.restarts) == (before.pid, before.url, 0)
        metrics = (await until(engines, lambda now: now.metrics is not None)).metrics
        assert metrics is not None
        assert metrics.running == 0
        assert metrics.generation_tokens is not None
        assert metrics.generation_tokens >= 1


async def test_kill_9_of_the_host_leaves_no_engine(tmp_path: Path, model_path: Path) -> None:
    """The engine dies with its host by itself; the client has both again within 30 s."""
    async with attached(tmp_path, real_spec(model_path)) as engines:
        before = await engines.wait_up("small", timeout=START_S)
        assert before.pid is not None
        engine, host = psutil.Process(before.pid), host_of(tmp_path)
        host.kill()
        await until(engines, lambda now: now.state is EngineState.FENCED)
        await asyncio.to_thread(engine.wait, 5.0)
        after = await engines.wait_up("small", timeout=BACK_S)
        assert after.pid != before.pid


async def test_a_file_that_is_no_model_is_quarantined_with_the_engines_line(tmp_path: Path) -> None:
    """At once, without a second try, and the one line is fit to be shown to a person."""
    file = tmp_path / "letter.gguf"
    file.write_text("Dear Sir or Madam, " * 100)
    async with attached(tmp_path, real_spec(file)) as engines:
        with pytest.raises(EngineNotUp, match=r"quarantine: forebay engine: .*letter\.gguf"):
            await engines.wait_up("small", timeout=START_S)
        given_up = engines.snapshots()["small"]
        assert given_up.restarts == 0
        assert given_up.pid is None


async def test_a_stopped_engine_process_is_fenced_until_it_goes_on(tmp_path: Path, model_path: Path) -> None:
    """SIGSTOP: its /health hangs, requests are kept away within seconds, and it serves on when continued."""
    async with attached(tmp_path, real_spec(model_path)) as engines:
        before = await engines.wait_up("small", timeout=START_S)
        assert before.pid is not None
        stopped = time.monotonic()
        os.kill(before.pid, signal.SIGSTOP)
        try:
            await until(engines, lambda now: now.state is EngineState.FENCED)
            assert time.monotonic() - stopped < 10.0
        finally:
            os.kill(before.pid, signal.SIGCONT)
        again = await engines.wait_up("small", timeout=BACK_S)
        assert (again.pid, again.restarts) == (before.pid, 0)


async def test_other_work_on_the_box_slows_it_down_and_no_more(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every CPU also has something else to do: threads that spin for each other would answer many times later."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    async with attached(tmp_path, real_spec(model_path)) as engines:
        up = await engines.wait_up("small", timeout=START_S)
        assert psutil.Process(up.pid).environ()["GOMP_SPINCOUNT"] == "300000"
        busy = (sys.executable, "-c", "import time\nend = time.time() + 60\nwhile time.time() < end: pass")
        others = [await asyncio.create_subprocess_exec(*busy) for _ in range(cpu_count())]
        try:
            began = time.monotonic()
            assert await answer(up.url, tokens=48)
            assert time.monotonic() - began < 10.0
        finally:
            for other in others:
                other.kill()
                await other.wait()
