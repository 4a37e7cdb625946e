"""The owner thread's loop against streams that fail on demand: every fault stays with the request it belongs to."""

import queue
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from local_models.llama.context import Batch
from local_models.llama.grammar import Grammar
from local_models.llama.jobs import Began, Broke, Cancel, Command, Delta, Event, Gone, Job, Order
from local_models.llama.loop import Loop
from local_models.llama.model import Model
from local_models.llama.sampling import Sampling
from local_models.llama.scheduler import Scheduler
from local_models.llama.shares import Shares

LETTERS = "abcdefgh"
_SHARES = Shares(alone=32, beside=8, least=8)


class FakeStreams:
    """Keeps the contract of `context.Context` without a model: slot s always continues with the s-th letter.

    It also keeps account of what each stream holds, as llama.cpp does, and fails a test that feeds a position twice.
    """

    def __init__(self, model: Model) -> None:
        self.batch = Batch(64)
        self.letters = [model.vocabulary.tokenize(x, add_special=False, parse_special=False)[0] for x in LETTERS]
        self.size = model.vocabulary.size
        self.held: dict[int, list[int]] = {}
        self.cuts = True
        self.now = 0.0
        self.fails: Callable[[dict[int, list[int]]], int] = lambda _fed: 0
        self.spoil: Callable[[int, NDArray[np.float32]], None] = lambda _slot, _row: None
        self._rows: list[int] = []

    @property
    def lengths(self) -> dict[int, int]:
        """How much each stream holds, without the empty ones."""
        return {slot: len(tokens) for slot, tokens in self.held.items() if tokens}

    def decode(self) -> int:
        """Take the batch in, and return what `fails` says of it, by slot: like llama.cpp, which leaves what it did."""
        raw = self.batch.raw
        self._rows = []
        fed: dict[int, list[int]] = {}
        for place in range(raw.n_tokens):
            slot, position = int(raw.seq_id[place][0]), int(raw.pos[place])
            assert position == len(self.held.setdefault(slot, [])), "positions follow one another"
            self.held[slot].append(int(raw.token[place]))
            fed.setdefault(slot, []).append(int(raw.token[place]))
            if raw.logits[place]:
                self._rows.append(slot)
        self.now += 1.0 if raw.n_tokens <= len(fed) else 0.25 * raw.n_tokens
        return self.fails(fed)

    def logits(self, rows: int) -> NDArray[np.float32]:
        """One row per token that wanted one."""
        assert rows == len(self._rows)
        table = np.zeros((rows, self.size), dtype=np.float32)
        for row, slot in zip(table, self._rows, strict=True):
            row[self.letters[slot]] = 10.0
            self.spoil(slot, row)
        return table

    def trim(self, slot: int, length: int) -> bool:
        """Cut the stream, or empty it where it cannot be cut, like a recurrent model's."""
        if length and not self.cuts:
            self.held[slot] = []
            return False
        assert length <= len(self.held.setdefault(slot, []))
        del self.held[slot][length:]
        return True

    def copy(self, source: int, target: int) -> None:
        """Copy the stream."""
        self.held[target] = list(self.held[source])


class Bench:
    """A loop with four slots, and everything it said."""

    def __init__(self, model: Model, shares: Shares = _SHARES) -> None:
        self.model = model
        self.streams = FakeStreams(model)
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        scheduler = Scheduler(4, shares)
        self.loop = Loop(model.vocabulary, self.streams, scheduler, self.commands, lambda: self.streams.now)
        self.events: list[Event] = []

    def send(self, *commands: Command) -> None:
        """Commands for the next step."""
        for command in commands:
            self.commands.put(command)

    def run(self, steps: int = 1) -> None:
        """Some steps, or fewer when nothing is left to do: the loop would wait for a command then."""
        for _ in range(steps):
            snapshot = self.loop.snapshot()
            if self.commands.empty() and snapshot.running + snapshot.waiting == 0:
                return
            assert self.loop.obey()
            self.events.extend(self.loop.step())

    def text(self, job: int, choice: int = 0) -> str:
        """What one choice has said."""
        return "".join(e.text for e in self.events if isinstance(e, Delta) and (e.job, e.choice) == (job, choice))

    def of(self, job: int) -> list[str]:
        """The kinds of events of a job, without deltas."""
        return [type(e).__name__ for e in self.events if isinstance(e, Began | Broke | Gone) and e.job == job]

    def job(
        self, number: int, *, choices: int = 1, tokens: int = 3, prompt: int = 5, grammar: str | None = None
    ) -> Job:
        """A greedy job with a prompt of five tokens, or as many as wanted."""
        compiled = Grammar.compile(self.model.vocabulary, grammar) if grammar else None
        return Job(
            number,
            np.arange(20, 20 + prompt, dtype=np.int32),
            choices,
            Sampling(temperature=0.0),
            tokens,
            grammar=compiled,
        )


@pytest.fixture
def bench(model: Model) -> Bench:
    """A fresh loop."""
    return Bench(model)


def idle(bench: Bench) -> bool:
    """Nothing runs, nothing waits, nothing is kept."""
    snapshot = bench.loop.snapshot()
    return (snapshot.running, snapshot.waiting, snapshot.kv_tokens) == (0, 0, 0) and not bench.streams.lengths


def test_requests_join_run_and_leave(bench: Bench) -> None:
    """Each says its letter as often as it may, and is gone once."""
    bench.send(bench.job(1, tokens=2), bench.job(2, tokens=3))
    bench.run(4)
    assert (bench.text(1), bench.text(2)) == ("aa", "bbb")
    assert bench.of(1) == bench.of(2) == ["Began", "Gone"]
    assert idle(bench)
    snapshot = bench.loop.snapshot()
    assert (snapshot.prompt_tokens, snapshot.generation_tokens) == (10, 5)


def test_when_nothing_can_be_decoded_the_requests_in_the_batch_fail(bench: Bench) -> None:
    """Both are told, their slots are free, and the next request runs as if nothing had been."""
    bench.send(bench.job(1), bench.job(2))
    bench.run()
    bench.streams.fails = lambda _fed: 1
    bench.run()
    assert bench.of(1) == bench.of(2) == ["Began", "Broke", "Gone"]
    assert idle(bench)
    bench.streams.fails = lambda _fed: 0
    bench.send(bench.job(3))
    bench.run(3)
    assert bench.text(3) == "aaa"
    assert bench.of(3) == ["Began", "Gone"]


@pytest.mark.parametrize("code", [1, 2, -1, -3])
def test_one_sequence_that_cannot_be_decoded_takes_no_other_down(bench: Bench, code: int) -> None:
    """The batch is tried in halves until it stands alone; nobody else notices, and nobody is fed a token twice."""
    bench.streams.fails = lambda fed: code if 2 in fed and len(bench.streams.held[2]) > 6 else 0
    bench.send(*(bench.job(number, tokens=4) for number in (1, 2, 3, 4)))
    bench.run(4)
    assert bench.of(3) == ["Began", "Broke", "Gone"]
    assert bench.text(3) == "cc"
    assert [bench.text(number) for number in (1, 2, 4)] == ["aaaa", "bbbb", "dddd"]
    assert [bench.of(number) for number in (1, 2, 4)] == [["Began", "Gone"]] * 3
    assert idle(bench)


def test_a_prompt_that_cannot_be_decoded_takes_its_choices_with_it_and_no_stream(bench: Bench) -> None:
    """A stream that runs goes on beside it; the followers of the prompt end with it."""
    bench.send(bench.job(1, tokens=4))
    bench.run()
    bench.streams.fails = lambda fed: 1 if 1 in fed else 0
    bench.send(bench.job(2, choices=2))
    bench.run(3)
    assert bench.text(1) == "aaaa"
    assert bench.of(2) == ["Began", "Broke", "Gone"]
    assert idle(bench)


def test_where_a_stream_cannot_be_cut_the_batch_fails_whole(bench: Bench) -> None:
    """What a failed batch left behind would be read again: such a model's sequences end, and the engine goes on."""
    bench.send(bench.job(1), bench.job(2))
    bench.run()
    bench.streams.fails = lambda _fed: 1
    bench.streams.cuts = False
    bench.run()
    assert bench.of(1) == bench.of(2) == ["Began", "Broke", "Gone"]
    assert idle(bench)


def test_logits_that_are_no_numbers_fail_their_own_request(bench: Bench) -> None:
    """The neighbour in the same batch goes on."""
    bench.send(bench.job(1), bench.job(2))
    bench.run()
    bench.streams.spoil = lambda slot, row: row.fill(np.nan) if slot == 0 else None
    bench.run(2)
    assert bench.of(1) == ["Began", "Broke", "Gone"]
    assert bench.text(2) == "bbb"
    assert idle(bench)


def test_one_failing_choice_fails_its_request_whole(bench: Bench) -> None:
    """All choices of a request stand and fall together, in the step in which they begin as well."""
    bench.streams.spoil = lambda slot, row: row.fill(np.inf) if slot == 0 else None
    bench.send(bench.job(1, choices=3), bench.job(2))
    bench.run(3)
    assert bench.of(1) == ["Began", "Broke", "Gone"]
    assert [e for e in bench.events if isinstance(e, Delta) and e.job == 1] == []
    assert bench.text(2) == "ddd"
    assert idle(bench)


def test_a_grammar_at_a_dead_end_fails_its_own_request(bench: Bench) -> None:
    """A grammar over characters that no token has cannot be continued; that is an error, not a crash."""
    bench.send(bench.job(1, grammar='root ::= "a" [\\U000F0000] "a"', tokens=9), bench.job(2))
    bench.run(9)
    assert bench.of(1)[0] == "Began"
    assert bench.of(1)[-1] == "Gone"
    assert bench.text(2) == "bbb"
    assert idle(bench)


def test_choices_continue_from_a_copy_of_the_prompt(bench: Bench) -> None:
    """Three choices, five prompt tokens evaluated, every stream at its own length afterwards."""
    bench.send(bench.job(1, choices=3, tokens=9))
    bench.run(2)
    assert bench.streams.lengths == {0: 6, 1: 6, 2: 6}
    assert bench.loop.snapshot().prompt_tokens == 5
    assert {e.choice for e in bench.events if isinstance(e, Delta)} == {0, 1, 2}


def test_the_share_of_a_prompt_follows_what_steps_take(model: Model) -> None:
    """A step is a second, a prompt token a quarter: five fit into what streams can spare, fewer after nine at first."""
    bench = Bench(model, Shares(alone=32, beside=64, least=1, first=9))
    bench.send(bench.job(1, tokens=50))
    bench.run(4)
    bench.send(bench.job(2, prompt=60))
    lengths = []
    for _ in range(4):
        bench.run()
        lengths.append(bench.streams.lengths[1])
    assert lengths == [9, 11, 16, 21]


def test_a_cancelled_request_is_gone_before_the_next_batch(bench: Bench) -> None:
    """No token is computed for it any more, whether it ran or waited; cancelling twice changes nothing."""
    bench.send(*(bench.job(number, tokens=50) for number in range(1, 6)))
    bench.run()
    bench.send(Cancel(1), Cancel(5), Cancel(1))
    bench.run()
    assert bench.of(1) == ["Began", "Gone"]
    assert bench.of(5) == ["Gone"]
    assert bench.streams.lengths == {1: 6, 2: 6, 3: 6}


def test_shutting_down_drops_who_waits_first_and_the_rest_on_demand(bench: Bench) -> None:
    """Four run on, the fifth is told; then all are."""
    bench.send(*(bench.job(number, tokens=50) for number in range(1, 6)))
    bench.run()
    bench.send(Order.DROP_WAITING)
    bench.run()
    assert bench.of(5) == ["Broke", "Gone"]
    assert bench.of(1) == ["Began"]
    bench.send(Order.DROP_ALL)
    bench.run()
    assert {e.code for e in bench.events if isinstance(e, Broke)} == {"shutting_down"}
    assert idle(bench)
    bench.send(Order.STOP)
    assert not bench.loop.obey()
