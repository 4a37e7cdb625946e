"""A loop over streams without a model, that fail on demand."""

import math
import queue
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from local_models.llama.aside import Aside, Threads
from local_models.llama.context import Batch
from local_models.llama.grammar import Grammar
from local_models.llama.jobs import Began, Broke, Command, Delta, Event, Gone, Job
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

    def __init__(self, model: Model, streams: int = 4) -> None:
        self.streams = streams
        self.batch = Batch(64)
        self.letters = [model.vocabulary.tokenize(x, add_special=False, parse_special=False)[0] for x in LETTERS]
        self.size = model.vocabulary.size
        self.held: dict[int, list[int]] = {}
        self.cuts = True
        self.below = -math.inf
        self.now = 0.0
        self.fails: Callable[[dict[int, list[int]]], int] = lambda _fed: 0
        self.spoil: Callable[[int, NDArray[np.float32]], None] = lambda _slot, _row: None
        self.adopts = True
        self.exports = True
        self.tells = True
        self.exchanges = True, True
        self.threads: list[int] = []
        self.closed = False
        self._rows: list[int] = []

    @property
    def lengths(self) -> dict[int, int]:
        """How much each stream holds, without the empty ones."""
        return {slot: len(tokens) for slot, tokens in self.held.items() if tokens}

    def decode(self, below: float = -math.inf) -> int:
        """Take the batch in, and return what `fails` says of it, by slot: like llama.cpp, which leaves what it did."""
        raw = self.batch.raw
        self._rows = []
        self.below = below
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

    def exchange(self, one: int, other: int) -> tuple[bool, bool]:
        """Change places, if that works."""
        held = [self.held.get(slot, []) for slot in (one, other)]
        there, back = self.exchanges
        self.held[other] = held[0] if there else []
        if there:
            self.held[one] = held[1] if back else []
        return there, back

    def use_threads(self, threads: int) -> None:
        """Note how many there were."""
        self.threads.append(threads)

    def export(self, slot: int, streams: int) -> NDArray[np.uint8]:
        """The tokens held, and how many streams the taker has."""
        if not self.exports:
            raise MemoryError
        if not self.tells:
            raise ValueError
        return np.array([streams, *self.held.get(slot, [])], dtype=np.int32).view(np.uint8)

    def adopt(self, slot: int, state: NDArray[np.uint8]) -> bool:
        """Hold those."""
        streams, *tokens = state.view(np.int32).tolist()
        assert streams == self.streams
        self.held[slot] = tokens if self.adopts else []
        return self.adopts

    def close(self) -> None:
        """Nothing is held any longer."""
        self.held.clear()
        self.closed = True


class Bench:
    """A loop with four slots, and everything it said."""

    def __init__(
        self, model: Model, shares: Shares = _SHARES, single: FakeStreams | None = None, *, moves: bool = False
    ) -> None:
        """With `single` long prompts are evaluated there. `moves`: sequences may get another slot."""
        self.model = model
        self.streams = FakeStreams(model)
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.scheduler = Scheduler(4, shares, moves=moves)
        self.aside = None if single is None else Aside(single, Threads(4, 1), shares.alone, self.commands.put)
        self.loop = Loop(
            model.vocabulary, self.streams, self.scheduler, self.commands, lambda: self.streams.now, aside=self.aside
        )
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
        self,
        number: int,
        *,
        choices: int = 1,
        tokens: int = 3,
        prompt: int = 5,
        grammar: str | None = None,
        priority: int = 0,
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
            priority=priority,
        )
