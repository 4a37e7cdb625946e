"""What travels between the HTTP side and the owner thread: jobs and commands in, events out. Frozen.

What is made anew for every token, here and beside it, is a msgspec Struct: a frozen dataclass sets each field by a call
of its own, which is 25 microseconds more a token of one stream, whose caches hold nothing but weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from local_models.llama.errors import Code, StartError
from local_models.llama.grammar import Grammar
from local_models.llama.logprobs import TokenLogprob
from local_models.llama.model import Model
from local_models.llama.sampling import Sampling
from local_models.llama.textstream import Placed
from local_models.llama.tools.trigger import Triggers

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One request, ready to run: `choices` answers to the same prompt."""

    number: int
    prompt: NDArray[np.int32]
    choices: int
    sampling: Sampling
    max_tokens: int
    """Tokens one answer may have; the prompt and they fit into the context together."""
    stops: tuple[str, ...] = ()
    top_logprobs: int | None = None
    """None: no logprobs; else that many alternatives per token."""
    grammar: Grammar | None = None
    triggers: Triggers | None = None
    """What puts an answer that begins without a grammar under one."""
    shown: Mapping[int, bytes] = field(default_factory=dict)
    """Control tokens that are part of the answer, and their texts."""
    priority: int = 0
    """Lower goes first."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbedJob:
    """One request for vectors: a text each, in tokens, at least one. It is one sequence, as far as slots go. Of
    priorities the lower goes first, as in vLLM.
    """

    number: int
    texts: tuple[NDArray[np.int32], ...]
    priority: int = 0
    choices: Literal[1] = 1

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return sum(text.size for text in self.texts)


class Order(Enum):
    """Commands without an argument."""

    DROP_WAITING = auto()
    """Fail every request that has a sequence without a slot: the engine is shutting down."""
    DROP_ALL = auto()
    """Fail every request."""
    STOP = auto()
    """End the thread."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this job any longer."""

    job: int


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """The rest of a prompt, from position `start` on, that is evaluated in a context of its own; see `aside`."""

    slot: int
    """Whose prompt it is."""
    start: int
    tokens: NDArray[np.int32]
    held: NDArray[np.uint8] | None
    """What the stream holds before `start`; None where that is 0."""
    streams: int
    """How many there are in the context that takes over what it holds afterwards."""


@dataclass(frozen=True, slots=True)
class Further:
    """So many tokens of a prompt have been evaluated aside."""

    tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """An errand is over. With `code` 0 `state` is what the stream holds with it and `row` the logits it ends in."""

    errand: Errand
    code: int
    state: NDArray[np.uint8] | None = None
    row: NDArray[np.float32] | None = None


Command = Job | EmbedJob | Cancel | Order | Further | Evaluated


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is there; requests can be run."""

    model: Model


@dataclass(frozen=True, slots=True)
class Died:
    """The owner thread has ended because of an error; nothing will be answered any more."""

    error: StartError


@dataclass(frozen=True, slots=True)
class Began:
    """The job's first sequence has a slot."""

    job: int


class Delta(Struct, frozen=True):
    """One token of one choice, and the text it lets out (none while it is held back). `at` is time.monotonic().

    `tokens` go with the text that releases them and are only filled when the job wants logprobs. `generated` counts
    the choice's tokens so far, the one that ended it included. `stop` is the stop string that ended it, if one did.
    """

    job: int
    choice: int
    at: float
    text: str
    tokens: tuple[Placed[TokenLogprob], ...]
    generated: int
    finish: Finish | None
    stop: str | None = None
    cached: int = 0
    """Prompt tokens of the choice that were not evaluated for it, another request having begun alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """All vectors of an EmbedJob, each of length 1: [texts, width]. `at` is time.monotonic()."""

    job: int
    at: float
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Broke:
    """The job failed; what it sent so far is all there is."""

    job: int
    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The job holds nothing any longer. The last event of every job, exactly once, cancelled ones included."""

    job: int


Happening = Began | Delta | Embedded | Broke
"""What the one who waits for a job's answer is told."""
Event = Loaded | Died | Happening | Gone


class Snapshot(Struct, frozen=True):
    """Plain numbers the owner thread publishes after every step. Replaced whole, so reading one needs no lock."""

    running: int = 0
    waiting: int = 0
    kv_tokens: int = 0
    prompt_tokens: int = 0
    """Prompt tokens evaluated, or found in a prefix, since the start."""
    aside_tokens: int = 0
    """Those of them that were evaluated aside."""
    prefix_queries: int = 0
    """Prompt tokens that were looked for in the prefixes since the start."""
    prefix_hits: int = 0
    """Those found there."""
    generation_tokens: int = 0
    """Tokens generated since the start."""
