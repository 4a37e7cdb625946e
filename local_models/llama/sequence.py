"""One answer while it is being generated: from a row of logits to the next token, its text and whether it ends."""

from collections import Counter, deque

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from local_models.llama.constrained import choose
from local_models.llama.jobs import Finish, Job
from local_models.llama.logprobs import Survey, TokenLogprob, survey
from local_models.llama.model import Vocabulary
from local_models.llama.sampling import adjust, generator
from local_models.llama.textstream import Placed, Released, TextStream
from local_models.llama.tools.trigger import Trigger


class BadLogitsError(Exception):
    """The model computed something that is no number."""


class Progress(Struct, frozen=True):
    """What one row of logits led to; see `jobs.Delta`."""

    text: str
    tokens: tuple[Placed[TokenLogprob], ...]
    finish: Finish | None
    stop: str | None


class Sequence:
    """Owned by the owner thread, from admission until it leaves its slot."""

    def __init__(self, job: Job, choice: int, vocabulary: Vocabulary) -> None:
        self.job = job
        self.choice = choice
        self.generated = 0
        self.cached = 0
        """Prompt tokens that another sequence had evaluated."""
        self.last_token = -1
        """The token to feed next; set by the first `advance`."""
        self._vocabulary = vocabulary
        self._random = generator(job.sampling.seed, choice)
        self._seen: Counter[int] = Counter()
        self._stream: TextStream[TokenLogprob | None] = TextStream(job.stops)
        self._grammar = job.grammar.fork() if job.grammar is not None else None
        self._trigger = Trigger(job.triggers, vocabulary) if job.triggers is not None else None
        self._due: deque[int] = deque()
        """Tokens that come next, whatever the model says."""

    def tokens(self, start: int, stop: int) -> NDArray[np.int32]:
        """The tokens to feed at positions `start` to `stop`: prompt, or the token chosen last."""
        if start < self.job.prompt.size:
            return self.job.prompt[start:stop]
        return np.array([self.last_token], dtype=np.int32)

    def advance(self, row: NDArray[np.float32]) -> Progress:
        """Choose the next token from `row`, raw logits that are left untouched.

        Raises BadLogitsError, or DeadEndError when the grammar allows nothing.
        """
        sampling = self.job.sampling
        top = self.job.top_logprobs
        seen = survey(row, top)
        if not seen.sound:
            raise BadLogitsError("the model's output is not a number")
        token = self._due.popleft() if self._due else self._choose(row, seen)
        self.generated += 1
        self.last_token = token
        if token in self._vocabulary.ends:
            return self._progress(self._stream.finish(), "stop")
        if sampling.penalises:
            self._seen[token] += 1
        described = seen.describe(row, token, top) if top is not None else None
        return self._extend(described, self._text(token))

    def _choose(self, row: NDArray[np.float32], seen: Survey) -> int:
        sampling = self.job.sampling
        logits = adjust(row, sampling, self._seen)
        if logits is row and sampling.greedy and self._grammar is None:
            token = seen.best[0]
        else:
            token = choose(logits, sampling, self._random, self._grammar)
        if token in self._vocabulary.ends:
            return token
        if self._grammar is not None:
            self._grammar.accept(token)
        elif self._trigger is not None and (begun := self._trigger.feed(token, self._text(token))) is not None:
            # Arguments may hold any text, stop strings too; an answer that ended there would be no call.
            self._stream.ignore_stops()
            self._grammar = begun.grammar
            token, *rest = begun.tokens
            self._due.extend(rest)
        return token

    def _text(self, token: int) -> bytes:
        """The bytes that the token adds to the answer."""
        return self.job.shown.get(token) or self._vocabulary.pieces[token]

    def _extend(self, described: TokenLogprob | None, piece: bytes) -> Progress:
        released = self._stream.push(described, piece)
        if released.stop is not None:
            return self._progress(released, "stop")
        if self.generated < self.job.max_tokens:
            return self._progress(released, None)
        rest = self._stream.finish()
        return self._progress(Released(released.text + rest.text, released.tokens + rest.tokens), "length")

    def _progress(self, released: Released[TokenLogprob | None], finish: Finish | None) -> Progress:
        tokens = tuple(Placed(placed.token, placed.offset) for placed in released.tokens if placed.token is not None)
        return Progress(released.text, tokens, finish, released.stop)
