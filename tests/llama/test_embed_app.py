"""The HTTP side of a pooling engine against an owner thread that does what the test says; and cut off for real."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from local_models.llama.embed_app import EmbedApp
from local_models.llama.embedding import EmbedAsks
from local_models.llama.engine import Desk
from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.llama.jobs import Began, Broke, Cancel, Died, Embedded, EmbedJob, Gone, Loaded
from local_models.llama.metrics import Metrics
from local_models.llama.model import Model
from local_models.llama.service import Identity
from tests.llama.engine_process import NAME, eventually, running
from tests.llama.test_engine import FakeWorker


@dataclass(frozen=True, slots=True)
class Bench:
    """A desk with one seat and a line for one, without a thread behind it."""

    worker: FakeWorker
    desk: Desk[EmbedAsks]
    http: httpx.AsyncClient

    def ask(self, **more: Any) -> "asyncio.Task[httpx.Response]":
        """A request on its way."""
        return asyncio.create_task(self.http.post("/v1/embeddings", json={"input": "x", **more}))

    async def job(self) -> EmbedJob:
        """The next command, which must be a job."""
        command = await asyncio.wait_for(self.worker.commands.get(), 10)
        assert isinstance(command, EmbedJob)
        return command

    def answer(self, job: EmbedJob) -> None:
        """The job's vectors, and its end."""
        vectors = np.full((len(job.texts), 4), 0.5, dtype=np.float32)
        self.desk.deliver((Embedded(job.number, 5.0, vectors), Gone(job.number)))


@pytest.fixture
async def bench(model: Model) -> AsyncIterator[Bench]:
    """The application, called in the same process."""
    worker = FakeWorker()
    desk = Desk(worker, partial(EmbedAsks, context=100), parallel=1, max_waiting=1)
    metrics = Metrics(NAME, parallel=1, context=100, timings=desk.timings)
    with ThreadPoolExecutor(1) as texts:
        app = EmbedApp(desk, metrics, Identity(NAME, 100, 0), texts)
        desk.deliver((Loaded(model),))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
            yield Bench(worker, desk, http)


async def test_a_burst_is_not_let_in_twice(bench: Bench) -> None:
    """One at work and one in line are all there is room for; who comes then is told when to come back."""
    running_one = bench.ask()
    first = await bench.job()
    waiting = bench.ask()
    second = await bench.job()
    refused = await bench.ask()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "overloaded"
    for job in (first, second):
        bench.desk.deliver((Began(job.number),))
        bench.answer(job)
    assert (await running_one).json()["data"][0]["embedding"] == [0.5] * 4
    assert (await waiting).status_code == 200
    again = bench.ask()
    bench.answer(await bench.job())
    assert (await again).status_code == 200


async def test_who_leaves_is_given_up(bench: Bench) -> None:
    """The owner thread hears of it, and of an answered request it does not."""
    answered = bench.ask()
    bench.answer(await bench.job())
    assert (await answered).status_code == 200
    assert bench.worker.commands.empty()
    left = bench.ask()
    job = await bench.job()
    left.cancel()
    assert await asyncio.wait_for(bench.worker.commands.get(), 10) == Cancel(job.number)
    bench.desk.deliver((Gone(job.number),))
    assert bench.desk.timings.endings == {"stop": 1, "abort": 1}


@pytest.mark.parametrize(("code", "status"), [("generation_failed", 500), ("shutting_down", 503)])
async def test_a_job_that_breaks_is_an_error(bench: Bench, code: Any, status: int) -> None:
    """In OpenAI's shape, with the reason."""
    asked = bench.ask()
    job = await bench.job()
    bench.desk.deliver((Broke(job.number, code, "it broke"), Gone(job.number)))
    response = await asked
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in response.headers) == (status == 503)
    assert +bench.desk.timings.endings == {"error": 1}


async def test_a_dead_thread_is_told_to_everybody(bench: Bench) -> None:
    """Who waits, who comes, and who looks at /health."""
    asked = bench.ask()
    await bench.job()
    bench.desk.deliver((Died(StartError("the engine broke: memory", EXIT_REFUSED)),))
    assert (await asked).json()["error"]["code"] == "engine_failed"
    assert (await bench.ask()).json()["error"]["code"] == "engine_failed"
    health = await bench.http.get("/health")
    assert (health.status_code, health.json()["error"]) == (503, "the engine broke: memory")


async def test_while_draining_nothing_new_is_taken(bench: Bench) -> None:
    """The code tells a client to go elsewhere."""
    bench.desk.drain()
    refused = await bench.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")


def test_a_caller_who_hangs_up_stops_the_work(model_path: Path, tmp_path: Path) -> None:
    """A minute of vectors for nobody: after the batch under way the engine is free again."""
    options = ("--runner", "pooling", "--pooling", "mean", "--context", "256", "--parallel", "1")
    with running(model_path, tmp_path, *options) as process:
        process.ready()
        texts = [f"{number} words that say nothing to anybody" * 4 for number in range(600)]
        with pytest.raises(httpx.ReadTimeout):
            process.http.post("/v1/embeddings", json={"input": texts}, timeout=1)
        aborted = partial(process.metric, "vllm:request_success_total", finished_reason="abort")
        eventually(lambda: aborted() == 1, "the request is given up")
        assert process.metric("vllm:num_requests_running") == 0
        assert process.metric("vllm:prompt_tokens_total") < 600 * 20
        assert process.post("/v1/embeddings", input="still there?").status_code == 200
        assert process.stop() == 0


def test_sigterm_ends_a_pooling_engine(embedding_model_path: Path, tmp_path: Path) -> None:
    """Exit code 0, as of any engine."""
    with running(embedding_model_path, tmp_path, "--runner", "pooling", "--context", "512") as process:
        assert process.ready().stop() == 0
    assert process.errors.read_text() == ""
