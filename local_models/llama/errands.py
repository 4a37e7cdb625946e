"""Prompts that are evaluated aside, from the owner thread's side: between the scheduler, the streams and `aside`."""

import logging
from collections.abc import MutableMapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from local_models.llama.aside import Aside
from local_models.llama.jobs import Errand, Evaluated
from local_models.llama.rows import Row
from local_models.llama.scheduler import Scheduler
from local_models.llama.sequence import Sequence
from local_models.llama.streams import Streams

_logger = logging.getLogger(__name__)


class Brought(NamedTuple):
    """What has been evaluated aside and taken over: the row that it was, its tokens, and its logits."""

    row: Row
    tokens: NDArray[np.int32]
    logits: NDArray[np.float32]


class Errands:
    """One at a time. Whatever goes wrong with one, its prompt is evaluated where it was, and no more are sent."""

    def __init__(
        self, aside: Aside, context: Streams, scheduler: Scheduler, sequences: MutableMapping[int, Sequence]
    ) -> None:
        """`sequences` are those of the owner thread, by slot."""
        self._aside = aside
        self._context = context
        self._scheduler = scheduler
        self._sequences = sequences

    def send(self) -> None:
        """Let a long prompt go on aside, if it is time for one."""
        if (row := self._scheduler.send_aside()) is None:
            return
        tokens = self._sequences[row.slot].tokens(row.start, row.stop)
        try:
            held = self._context.export(row.slot, 1) if row.start else None
        except MemoryError:
            _logger.exception("no prompt is evaluated aside any more")
            self._scheduler.away.back()
            self._scheduler.away.give_up()
        else:
            self._aside.begin(Errand(row.slot, row.start, tokens, held, self._context.streams))

    def share(self, *, running: bool) -> bool:
        """Divide the threads between the streams and a prompt aside, which has them all while nothing else runs.

        Returns whether the owner thread has nothing to do but wait for it.
        """
        shared = self._scheduler.away.shared
        self._context.use_threads(self._aside.leaves if shared else self._aside.all)
        if shared:
            self._aside.go_on(alone=not running, waits=self._scheduler.aside_waits)
        return shared and not running

    def back(self, evaluated: Evaluated) -> Brought | None:
        """The prompt has been evaluated aside. None: it has been given up since, or is evaluated where it was."""
        slot, errand = self._scheduler.away.back(), evaluated.errand
        if slot < 0:
            return None
        if evaluated.code or evaluated.state is None or evaluated.row is None:
            _logger.error("no prompt is evaluated aside any more: one failed with code %d", evaluated.code)
            self._scheduler.away.give_up()
            return None
        if not self._context.adopt(slot, evaluated.state):
            _logger.error("no prompt is evaluated aside any more: what it leaves cannot be taken over")
            self._scheduler.away.give_up()
            self._scheduler.restart(slot, self._sequences[slot].cached)
            self._sequences[slot].cached = 0
            return None
        row = Row(slot, errand.start, errand.start + errand.tokens.size, samples=True)
        return Brought(row, errand.tokens, evaluated.row)

    def left(self, slot: int) -> None:
        """The slot is being left; if its prompt is aside, that ends."""
        if slot == self._scheduler.away.slot:
            self._aside.drop()
