"""The owner thread of a pooling engine: who is in which batch, who waits, and what is given up when."""

import queue
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from local_models.llama.embed_context import UncomputableError
from local_models.llama.embed_loop import EmbedLoop
from local_models.llama.jobs import Began, Broke, Cancel, Command, Embedded, EmbedJob, Event, Gone, Order, Snapshot


class FakeEncoder:
    """Keeps the contract: no batch over its limits; a text's vector is its first token and its length."""

    capacity = 10
    most = 4

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.broken = False
        self.now = 0.0
        """A token takes a tenth of a second."""

    def embed(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """One row for each text."""
        assert 1 <= len(texts) <= self.most
        assert sum(text.size for text in texts) <= self.capacity
        self.batches.append([int(text[0]) for text in texts])
        self.now += sum(text.size for text in texts) / 10
        if self.broken:
            raise UncomputableError("it broke")
        return np.array([[text[0], text.size] for text in texts], dtype=np.float32)


class Bench:
    """A loop of two seats on its own."""

    def __init__(self, seats: int = 2) -> None:
        self.encoder = FakeEncoder()
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.loop = EmbedLoop(self.encoder, seats, self.commands, lambda: self.encoder.now)

    def send(self, *commands: Command) -> None:
        """Hand over, and have the loop take them."""
        for command in commands:
            self.commands.put(command)
        assert self.loop.obey()

    def run(self) -> list[Event]:
        """Step until nothing is left to do."""
        events: list[Event] = []
        while self.loop.snapshot().running or self.loop.snapshot().waiting:
            events += self.loop.step()
        return events


def job(number: int, *sizes: int, priority: int = 0) -> EmbedJob:
    """Texts of these sizes; the first token of each says whose it is: 100 a job, and its place."""
    texts = [np.full(size, 100 * number + place, dtype=np.int32) for place, size in enumerate(sizes)]
    return EmbedJob(number, tuple(texts), priority)


def vectors_of(events: Sequence[Event]) -> dict[int, list[list[float]]]:
    """What each request was given."""
    return {event.job: event.vectors.tolist() for event in events if isinstance(event, Embedded)}


def test_a_request_is_one_answer() -> None:
    """It begins, has its vectors in the order of its texts, and is gone."""
    bench = Bench()
    bench.send(job(1, 3, 2))
    began, embedded, gone = bench.loop.step()
    assert (began, gone) == (Began(1), Gone(1))
    assert vectors_of([embedded]) == {1: [[100, 3], [101, 2]]}
    assert bench.loop.snapshot() == Snapshot(prompt_tokens=5)


def test_it_says_when_a_batch_is_ready() -> None:
    """Before it is evaluated; where there is none, nothing is said."""
    bench, seen = Bench(), list[int]()
    bench.loop.step(lambda: seen.append(len(bench.encoder.batches)))
    idle = [bench.loop.idle]
    bench.send(job(1, 6, 6))
    for _ in range(2):
        bench.loop.step(lambda: seen.append(len(bench.encoder.batches)))
        idle.append(bench.loop.idle)
    assert seen == [0, 1]
    assert idle == [True, False, True]


def test_a_large_request_does_not_keep_a_small_one_waiting() -> None:
    """Both are in the first batch, and the small one is answered after it."""
    bench = Bench()
    bench.send(job(1, *[2] * 40), job(2, 2))
    first = bench.loop.step()
    assert bench.encoder.batches == [[100, 200, 101, 102]]
    assert vectors_of(first) == {2: [[200, 2]]}
    assert bench.loop.snapshot() == Snapshot(running=1, prompt_tokens=8)
    assert len(vectors_of(bench.run())[1]) == 40


def test_texts_that_fill_a_batch_take_turns() -> None:
    """Whoever had no room in one batch stands first in the next."""
    bench = Bench()
    bench.send(job(1, 10, 10), job(2, 10, 10))
    bench.run()
    assert bench.encoder.batches == [[100], [200], [101], [201]]


def test_a_small_text_goes_where_a_large_one_does_not_fit() -> None:
    """A batch is filled, and nobody is overtaken within a request."""
    bench = Bench()
    bench.send(job(1, 6, 6), job(2, 3, 3))
    events = bench.run()
    assert bench.encoder.batches == [[100, 200], [201, 101]]
    assert vectors_of(events) == {1: [[100, 6], [101, 6]], 2: [[200, 3], [201, 3]]}


def test_no_more_requests_than_seats_are_at_work() -> None:
    """The third waits until one is done."""
    bench = Bench()
    bench.send(job(1, 10), job(2, 10), job(3, 1))
    first = bench.loop.step()
    assert [event for event in first if isinstance(event, Began)] == [Began(1), Began(2)]
    assert bench.loop.snapshot() == Snapshot(running=1, waiting=1, prompt_tokens=10)
    assert Began(3) in bench.run()


@pytest.mark.parametrize("number", [1, 3])
def test_a_request_is_given_up_between_two_batches(number: int) -> None:
    """At work or in line: it is gone, has no answer, and takes no further part."""
    bench = Bench()
    bench.send(job(1, 10, 10), job(2, 10, 10), job(3, 10))
    bench.loop.step()
    bench.send(Cancel(number))
    events = bench.run()
    assert Gone(number) in events
    assert set(vectors_of(events)) == {1, 2, 3} - {number}
    assert sum(text // 100 == number for batch in bench.encoder.batches for text in batch) == (number == 1)


def test_a_request_that_is_over_cannot_be_given_up() -> None:
    """The cancellation was on its way while the answer was."""
    bench = Bench()
    bench.send(job(1, 1))
    bench.loop.step()
    bench.send(Cancel(1), Cancel(7))
    assert bench.loop.step() == ()


def test_a_batch_that_breaks_fails_those_in_it() -> None:
    """The others go on, and so does the engine."""
    bench = Bench()
    bench.send(job(1, 10, 10), job(2, 10), job(3, 4))
    bench.encoder.broken = True
    events = bench.loop.step()
    assert [event for event in events if isinstance(event, Broke)] == [Broke(1, "generation_failed", "it broke")]
    assert events[-1] == Gone(1)
    bench.encoder.broken = False
    assert set(vectors_of(bench.run())) == {2, 3}


def test_shutting_down_fails_first_those_who_wait_then_all() -> None:
    """Whoever is at work may finish until there is no more time."""
    bench = Bench(seats=1)
    bench.send(job(1, 10, 10, 10), job(2, 1))
    bench.loop.step()
    bench.send(Order.DROP_WAITING)
    assert bench.loop.step() == (Broke(2, "shutting_down", "the engine is shutting down"), Gone(2))
    bench.send(Order.DROP_ALL)
    assert bench.loop.step() == (Broke(1, "shutting_down", "the engine is shutting down"), Gone(1))
    bench.commands.put(Order.STOP)
    assert not bench.loop.obey()


def test_warming_up_leaves_nothing_behind() -> None:
    """One token is run and forgotten."""
    bench = Bench()
    bench.loop.warm_up()
    assert bench.encoder.batches == [[1]]
    assert bench.loop.snapshot() == Snapshot()


def test_the_urgent_do_not_wait_for_the_others() -> None:
    """Neither for a seat nor for their texts: the next batch is of the urgent alone, and then the others go on."""
    bench = Bench()
    bench.send(job(1, *[1] * 9, priority=1), job(2, *[1] * 9, priority=1), job(3, 1, priority=1))
    bench.loop.step()
    assert bench.loop.snapshot() == Snapshot(running=2, waiting=1, prompt_tokens=4)
    bench.send(job(4, 1, 1), job(5, 1, priority=-1))
    assert vectors_of(bench.loop.step()) == {5: [[500, 1]]}
    assert vectors_of(bench.loop.step()) == {4: [[400, 1], [401, 1]]}
    assert bench.encoder.batches[1:] == [[500], [400, 401]]
    assert set(vectors_of(bench.run())) == {1, 2, 3}


def test_others_have_a_fifth_of_the_time() -> None:
    """When the urgent have had four times what a batch of everybody takes: whoever has waited longest is sure of it."""
    bench = Bench()
    bench.send(job(1, *[10] * 9, priority=1))
    bench.loop.step()
    bench.send(job(2, *[5] * 99))
    for _ in range(30):
        bench.loop.step()
    others = [place for place, batch in enumerate(bench.encoder.batches) if batch[0] // 100 == 1]
    assert others == [0, 5, 10, 15, 20, 25, 30]


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 10), min_size=1, max_size=9), st.integers(-1, 1)), min_size=1, max_size=6
    ),
    st.integers(1, 3),
)
def test_everybody_gets_every_vector_once(requests: list[tuple[list[int], int]], seats: int) -> None:
    """Whatever the sizes and priorities: in order, complete, and each request ends exactly once."""
    bench = Bench(seats)
    jobs = [job(number, *sizes, priority=priority) for number, (sizes, priority) in enumerate(requests, start=1)]
    bench.send(*jobs)
    events = bench.run()
    assert vectors_of(events) == {each.number: [[int(text[0]), text.size] for text in each.texts] for each in jobs}
    assert sorted(event.job for event in events if isinstance(event, Gone)) == [each.number for each in jobs]
    assert bench.loop.snapshot().prompt_tokens == sum(each.tokens for each in jobs)
