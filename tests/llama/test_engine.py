"""The HTTP side against an owner thread that does what the test says: faults, overload, and who waits for whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from local_models.llama.app import App
from local_models.llama.engine import Engine
from local_models.llama.errors import EXIT_REFUSED, RequestError, StartError
from local_models.llama.jobs import Began, Broke, Cancel, Command, Delta, Died, Finish, Gone, Job, Loaded, Snapshot
from local_models.llama.metrics import Metrics
from local_models.llama.model import Model
from local_models.llama.sampling import Sampling
from local_models.llama.service import Identity
from tests.llama.engine_process import NAME


class FakeWorker:
    """An owner thread that takes notes and leaves the answers to the test."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.alive = True
        self.commands: asyncio.Queue[Command] = asyncio.Queue()

    def send(self, command: Command) -> None:
        """Note the command."""
        self.commands.put_nowait(command)

    async def job(self) -> Job:
        """The next command, which must be a job."""
        command = await asyncio.wait_for(self.commands.get(), 10)
        assert isinstance(command, Job)
        return command


@dataclass(frozen=True, slots=True)
class Bench:
    """An engine with two slots and a line for one, without a thread behind it."""

    worker: FakeWorker
    engine: Engine
    http: httpx.AsyncClient

    def ask(self, **more: Any) -> "asyncio.Task[httpx.Response]":
        """A completion request on its way."""
        return asyncio.create_task(self.http.post("/v1/completions", json={"prompt": "x", **more}))

    def say(self, job: Job, text: str, finish: Finish | None = None, generated: int = 1) -> None:
        """One step of the job's first choice."""
        self.engine.deliver((Delta(job.number, 0, 5.0, text, (), generated, finish),))


@pytest.fixture
async def bench(model: Model) -> AsyncIterator[Bench]:
    """The application, called in the same process."""
    worker = FakeWorker()
    engine = Engine(worker, parallel=2, context=100, max_waiting=1)
    metrics = Metrics(NAME, parallel=2, context=100, timings=engine.timings)
    with ThreadPoolExecutor(1) as texts:
        app = App(engine, metrics, Identity(NAME, 100, 0), texts)
        engine.deliver((Loaded(model),))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
            yield Bench(worker, engine, http)


async def test_a_stream_that_breaks_ends_with_an_error_event(bench: Bench) -> None:
    """What was said stands, then the error, then nothing: no [DONE], no made-up finish reason."""
    asked = bench.ask(stream=True)
    job = await bench.worker.job()
    bench.engine.deliver((Began(job.number),))
    bench.say(job, "Hello")
    bench.engine.deliver((Broke(job.number, "generation_failed", "it broke"), Gone(job.number)))
    response = await asked
    assert response.status_code == 200
    first, last = [json.loads(line.removeprefix("data: ")) for line in response.text.split("\n\n") if line]
    assert first["choices"][0] == {"index": 0, "text": "Hello", "logprobs": None, "finish_reason": None}
    assert last["error"] == {
        "message": "it broke",
        "type": "server_error",
        "param": None,
        "code": "generation_failed",
    }


async def test_a_stream_that_breaks_before_it_begins_is_an_error_status(bench: Bench) -> None:
    """Nothing was sent yet, so the status can still say it."""
    asked = bench.ask(stream=True)
    job = await bench.worker.job()
    bench.engine.deliver((Broke(job.number, "shutting_down", "going"), Gone(job.number)))
    response = await asked
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"]["code"] == "shutting_down"


async def test_when_the_owner_thread_dies_everybody_is_told(bench: Bench) -> None:
    """Running requests break, new ones are refused, /health says failed and why."""
    asked = bench.ask()
    job = await bench.worker.job()
    bench.engine.deliver((Began(job.number),))
    bench.engine.deliver((Died(StartError("the engine broke: memory", EXIT_REFUSED)),))
    assert (await asked).json()["error"]["code"] == "engine_failed"
    refused = await bench.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_failed")
    health = await bench.http.get("/health")
    assert health.status_code == 503
    assert health.json() == {"status": "failed", "error": "the engine broke: memory"}
    assert str(await bench.engine.died()) == "the engine broke: memory"


async def test_a_thread_that_vanished_is_not_healthy(bench: Bench) -> None:
    """Health is the thread's life, not a flag somebody forgot to clear."""
    assert (await bench.http.get("/health")).json() == {"status": "ok"}
    bench.worker.alive = False
    assert (await bench.http.get("/health")).json()["status"] == "failed"


async def test_the_line_is_counted_without_asking_the_owner_thread(bench: Bench) -> None:
    """Requests that the owner thread has not even seen count as waiting, so a burst cannot slip past the limit."""
    running = bench.ask(n=2)
    first = await bench.worker.job()
    waiting = bench.ask()
    second = await bench.worker.job()
    assert bench.engine.waiting == 3
    refused = await bench.ask()
    assert refused.json()["error"]["code"] == "overloaded"
    bench.engine.deliver((Began(first.number),))
    bench.worker.snapshot = Snapshot(running=2, waiting=1)
    assert bench.engine.waiting == 1
    for job in (first, second):
        for choice in range(job.choices):
            bench.engine.deliver((Delta(job.number, choice, 5.0, "x", (), 1, "stop"),))
        bench.engine.deliver((Gone(job.number),))
    assert (await running).status_code == (await waiting).status_code == 200
    assert bench.engine.waiting == 0


async def test_free_slots_are_for_everybody_even_without_a_line(model: Model) -> None:
    """With no waiting allowed, as many requests as there are slots are let in at once."""
    worker = FakeWorker()
    engine = Engine(worker, parallel=2, context=100, max_waiting=0)
    engine.deliver((Loaded(model),))
    jobs = [Job(number, np.zeros(1, dtype=np.int32), 1, Sampling(), 1) for number in range(3)]
    for job in jobs[:2]:
        engine.submit(job, 0.0)
    with pytest.raises(RequestError, match="0 requests are waiting"):
        engine.submit(jobs[2], 0.0)
    engine.deliver((Began(0), Delta(0, 0, 1.0, "", (), 1, "stop")))
    engine.submit(jobs[2], 0.0)


async def test_a_finished_request_is_not_cancelled_and_a_given_up_one_is(bench: Bench) -> None:
    """The owner thread hears of a request again only when there is something to stop."""
    asked = bench.ask()
    job = await bench.worker.job()
    bench.say(job, "done", finish="stop")
    bench.engine.deliver((Gone(job.number),))
    assert (await asked).json()["choices"][0]["text"] == "done"
    assert bench.worker.commands.empty()
    given_up = bench.ask()
    job = await bench.worker.job()
    given_up.cancel()
    assert await asyncio.wait_for(bench.worker.commands.get(), 10) == Cancel(job.number)
    bench.engine.deliver((Gone(job.number),))
    assert bench.engine.timings.endings == {"stop": 1, "abort": 1}


async def test_while_draining_nothing_new_is_taken(bench: Bench) -> None:
    """The code tells a client to go elsewhere."""
    bench.engine.drain()
    refused = await bench.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")


async def test_a_fault_of_our_own_is_a_500_in_the_same_shape(bench: Bench) -> None:
    """An event that makes no sense breaks one request and is logged; the next one is fine."""
    asked = bench.ask()
    job = await bench.worker.job()
    bench.engine.deliver((Delta(job.number, 7, 5.0, "no such choice", (), 1, None),))
    response = await asked
    assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
    assert (await bench.http.get("/v1/models")).status_code == 200
