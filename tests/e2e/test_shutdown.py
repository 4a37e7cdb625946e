"""The end of `forebay serve` when it is asked for: who is answered, what is written down, and what goes on running."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.agreement import Told, agree
from tests.e2e.configs import LIGHT, SECRETS, TO_LIGHT, Config, base, one_engine, three_tiers
from tests.e2e.homes import engine_of, install_model, processes_of
from tests.e2e.stack import Stack, eventually, start, started
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

WORDS = " ".join(f"word{number}" for number in range(60))
SOON_S = 30.0
WHOLE_WAITS, STREAM_WAITS = -1, 20
"""Where an answer is held: before it, or after some of it, which only a stream can be."""


def draining_for(seconds: float, faults: FaultServer) -> Config:
    """Three tiers, and this much time for what runs at the end."""
    return three_tiers(faults, server={**base()["server"], "drain_s": seconds})


def named(number: int) -> dict[str, Any]:
    """For a request whose id is known beforehand, and that is easy."""
    return {"headers": {"x-request-id": f"request-{number}", **TO_LIGHT}}


def ended(stack: Stack) -> None:
    """It ends with exit code 0 and without a word of trouble."""
    assert stack.process.wait(SOON_S) == 0
    stack.err.join()
    stack.out.join()
    assert not [line for line in stack.err.all() if "Traceback" in line or "ERROR" in line], stack.err.all()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_is_finished(home: Path, faults: FaultServer, number: signal.Signals) -> None:
    """Forty answers, whole, streamed or still held, come to their end; who comes later is told to come back."""
    for model, after in ((LIGHT, STREAM_WAITS), ("mid", STREAM_WAITS), ("premium", WHOLE_WAITS)):
        faults.always(model, Says(text=WORDS, hold="go", hold_after=after))
    with started(home, draining_for(60, faults), SECRETS) as stack, ThreadPoolExecutor(40) as pool:
        stack.listening().ready("light", "mid")
        whole = [pool.submit(stack.chat, "big", **named(each)) for each in range(20)]
        streams = [pool.submit(stack.events, **named(each)) for each in range(20, 30)]
        streams += [pool.submit(stack.events, "mini", **named(each)) for each in range(30, 40)]
        faults.wait("held", least=40)
        stack.process.send_signal(number)
        eventually(lambda: stack.readiness()["status"] == "draining", "it is draining")
        late = stack.chat(**named(99))
        assert (late.status_code, late.json()["error"]["code"]) == (503, "shutting_down")
        assert int(late.headers["retry-after"]) >= 1
        faults.release("go")
        for answer in whole:
            assert answer.result().json()["choices"][0]["message"]["content"] == WORDS
        for stream in streams:
            read = stream.result()
            assert (read.text, read.done, read.finish_reason) == (WORDS, True, "stop")
        ended(stack)
    expected = sorted(f"request-{each}" for each in range(40))
    assert sorted(row["request_id"] for row in stack.books.requests()) == expected
    assert {row["status"] for row in stack.books.requests()} == {"ok"}
    assert sorted(line["request_id"] for line in stack.log()) == expected


def test_what_takes_too_long_is_cut_off_and_told(home: Path, faults: FaultServer) -> None:
    """After `drain_s` a stream gets an error event and no [DONE], a whole answer a 503; the upstreams are let go."""
    faults.always("mid", Says(text=WORDS, hold="never", hold_after=STREAM_WAITS))
    faults.always("premium", Says(text=WORDS, hold="never", hold_after=WHOLE_WAITS))
    with started(home, draining_for(0.5, faults), SECRETS) as stack, ThreadPoolExecutor(20) as pool:
        stack.listening()
        whole = [pool.submit(stack.chat, "big", **named(each)) for each in range(10)]
        streams = [pool.submit(stack.events, "mini", **named(each)) for each in range(10, 20)]
        faults.wait("held", least=20)
        stack.terminate()
        told = [Told.whole(answer.result()) for answer in whole]
        reads = [stream.result() for stream in streams]
        ended(stack)
    for each in told:
        assert each.status == 503
        assert int(each.headers["retry-after"]) >= 1
    for read in reads:
        assert (read.done, read.finish_reason) == (False, None)
        assert read.text.startswith("word0 word1 ")
    for number, one in enumerate([*told, *map(Told.streamed, reads)]):
        assert one.error is not None
        assert one.error["code"] == "shutting_down"
        agree(one, stack.books, f"request-{number}")
    assert {call.end for call in faults.settled()} == {"client_left"}
    assert len(stack.books.requests()) == len(stack.log()) == 20


def test_a_second_signal_is_for_those_in_a_hurry(home: Path, faults: FaultServer) -> None:
    """It ends at once instead of after `drain_s`, a third changes nothing; callers are told, and the books right."""
    faults.always("mid", Says(text=WORDS, hold="never", hold_after=STREAM_WAITS))
    with started(home, draining_for(300, faults), SECRETS) as stack, ThreadPoolExecutor(10) as pool:
        stack.listening()
        streams = [pool.submit(stack.events, "mini", **named(each)) for each in range(10)]
        faults.wait("held", least=10)
        stack.terminate()
        eventually(lambda: stack.readiness()["status"] == "draining", "it is draining")
        assert not any(stream.done() for stream in streams)
        stack.terminate()
        stack.terminate()
        reads = [stream.result() for stream in streams]
        ended(stack)
    for number, read in enumerate(reads):
        assert (read.done, read.error and read.error["code"]) == (False, "shutting_down")
        agree(Told.streamed(read), stack.books, f"request-{number}")
    assert stack.books.sound()
    assert len(stack.books.requests()) == len(stack.log()) == 10


def test_a_caller_who_does_not_read_holds_up_nobody(home: Path, faults: FaultServer) -> None:
    """A stream that nobody takes is cut like any other, and is in the books."""
    faults.always("mid", Says(text=" ".join(["x" * 6_000] * 1_000)))
    with started(home, draining_for(0.2, faults), SECRETS) as stack:
        stack.listening()
        with stack.stream("mini", **named(0)) as response:
            assert response.status_code == 200
            gateway = psutil.Process(stack.process.pid)
            eventually(lambda: gateway.cpu_percent(0.5) < 10, "all buffers are full")
            stack.terminate()
            assert stack.process.wait(SOON_S) == 0
    assert [row["code"] for row in stack.books.requests()] == ["shutting_down"]


def test_every_request_that_was_let_in_is_written_down(home: Path, faults: FaultServer) -> None:
    """A signal in the middle of a rush: who was answered has a row and a line, who was refused has neither."""
    faults.always("mid", Says(pause_s=0.002))

    def rush(caller: int) -> list[str]:
        answered: list[str] = []
        for number in range(1_000):
            request_id = f"{caller}-{number}"
            try:
                answer = stack.chat("mini", headers={"x-request-id": request_id})
            except httpx.TransportError:
                return answered
            if answer.status_code == 503:
                return answered
            assert answer.status_code == 200
            answered.append(request_id)
        raise AssertionError("nobody ever said that it is over")

    with started(home, draining_for(30, faults), SECRETS) as stack, ThreadPoolExecutor(40) as pool:
        stack.listening()
        callers = [pool.submit(rush, caller) for caller in range(40)]
        faults.wait("ended", least=200)
        stack.terminate()
        answered = sorted(request_id for caller in callers for request_id in caller.result())
        ended(stack)
    assert len(answered) > 200
    assert sorted(row["request_id"] for row in stack.books.requests()) == answered
    assert sorted(line["request_id"] for line in stack.log()) == answered


def test_a_real_engine_finishes_its_answer_and_goes(home: Path, model_path: Path) -> None:
    """The local stream that runs comes to its end, then engine and host are gone."""
    install_model(home, model_path)
    with started(home, one_engine()) as stack:
        stack.listening().ready("light")
        with stack.stream("local", max_tokens=200, temperature=1.0) as response:
            pieces = response.iter_raw()
            first = next(pieces)
            stack.terminate()
            raw = first + b"".join(pieces)
        assert raw.endswith(b"data: [DONE]\n\n")
        ended(stack)
        eventually(lambda: not processes_of(home), "engine and host are gone", 15)


@contextmanager
def keeping(home: Path, *, keep: bool = True) -> Iterator[Stack]:
    """A gateway that leaves its engine running."""
    stack = start(home, one_engine(server={**base()["server"], "keep_engines": keep}))
    try:
        yield stack.listening()
    finally:
        code = stack.close(leaves_engines=keep)
    assert code == 0, stack.err.all()


def test_engines_that_are_kept_are_found_again(home: Path, model_path: Path) -> None:
    """With `keep_engines` the next start has the very same engine, at once; who does not keep it ends it."""
    install_model(home, model_path)
    with keeping(home) as stack:
        stack.ready("light")
        engine = engine_of(home)
    assert engine is not None
    assert engine_of(home) == engine
    with keeping(home, keep=False) as stack:
        stack.ready("light")
        assert stack.chat("local", max_tokens=4).status_code == 200
        assert stack.gate("small")["detail"] == "up"
        assert engine_of(home) == engine
    assert engine_of(home) is None
