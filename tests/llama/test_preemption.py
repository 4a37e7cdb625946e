"""A call of the real llama.cpp that ends early, and goes on afterwards as if nothing had been."""

import math
import queue
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from local_models.llama.context import Context
from local_models.llama.jobs import Began, Delta, Event, Job, Order
from local_models.llama.log import LlamaLog
from local_models.llama.model import Model
from local_models.llama.preemption import PREEMPTED, Preemption
from local_models.llama.sampling import Sampling
from local_models.llama.shares import Shares
from local_models.llama.worker import Settings, Worker

PROMPT = np.arange(20, 20 + 384, dtype=np.int32)


def read(context: Context, below: float = -math.inf) -> int:
    """Evaluate the prompt."""
    context.batch.clear()
    context.batch.add(0, 0, PROMPT, want_last=True)
    return context.decode(below)


def insisting(preemption: Preemption, priority: int, over: threading.Event) -> threading.Thread:
    """Somebody of this priority comes again and again until it is over."""

    def come() -> None:
        while not over.is_set():
            preemption.came(priority)

    return threading.Thread(target=come)


def test_a_call_that_ended_early_is_done_again_with_the_same_result(
    model: Model, llama_log: LlamaLog, capfd: pytest.CaptureFixture[str]
) -> None:
    """To the last bit, and nothing is said of it: it was asked for. Who is not more urgent ends nothing."""
    preemption = Preemption()
    context = Context(model, llama_log, parallel=2, context=512, threads=1, batch=512)
    with closing(context):
        context.heed(preemption)
        llama_log.hush(lambda: preemption.asked)
        seen: list[NDArray[np.float32]] = []
        for priority, code in ((1, 0), (0, PREEMPTED), (1, 0)):
            over = threading.Event()
            thread = insisting(preemption, priority, over)
            thread.start()
            assert read(context, below=1) == code
            over.set()
            thread.join()
            if code == 0:
                seen.append(context.logits(1)[0].copy())
            assert context.trim(0, 0)
        # Whoever came a moment too late ends nothing either.
        preemption.arm(1)
        preemption.came(0)
        asked = [preemption.asked]
        assert read(context) == 0
        assert [*asked, preemption.asked] == [True, False]
        assert (seen[0] == seen[1]).all()
        assert (seen[0] == context.logits(1)[0]).all()
    assert capfd.readouterr().err == ""


def test_who_comes_in_the_middle_of_a_long_call_is_answered_first(model_path: Path, llama_log: LlamaLog) -> None:
    """The second half of the batch prompt is under way, for some hundred milliseconds: that it began is told before."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def deliver(happened: tuple[Event, ...]) -> None:
        for event in happened:
            events.put(event)

    def job(number: int, prompt: int, priority: int) -> Job:
        tokens = np.arange(20, 20 + prompt, dtype=np.int32)
        return Job(number, tokens, 1, Sampling(temperature=0.0), max_tokens=1, priority=priority)

    shares = Shares(alone=512, beside=512)
    worker = Worker(Settings(model_path, 2, 1024, 1, shares=shares), llama_log)
    worker.start(deliver)
    worker.send(job(1, 1_000, 1))
    first: list[int] = []
    while len(first) < 2:
        match events.get(timeout=30):
            case Began(1):
                worker.send(job(2, 4, -1))
            case Delta(job=number):
                first.append(number)
    worker.send(Order.STOP)
    assert worker.join(30)
    assert first == [2, 1]
