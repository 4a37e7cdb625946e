"""Choosing a token that a grammar allows, without applying the grammar to the whole vocabulary. Pure.

Applied to 49,152 tokens a grammar costs 5 to 15 ms, to one token 0.02 ms, and most of the time the token that would
be chosen anyway is allowed. So: choose first, test that one, and make the full pass only when guesses run out.
"""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from local_models.llama.logprobs import top_tokens
from local_models.llama.sampling import Sampling, distribution

HEAD: Final = 64
"""Best tokens tested in one go when the very best is not allowed."""
GUESSES: Final = 16
"""Draws tested one by one before the full pass."""


class DeadEndError(Exception):
    """No token of the vocabulary can continue the text under the grammar."""


class Constraint(Protocol):
    """What the text so far allows next. Tokens are ids."""

    def allows(self, token: int) -> bool:
        """May `token` come next?"""
        ...

    def allowed(self, tokens: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those of `tokens` that may come next, in the same order."""
        ...


def choose(
    logits: NDArray[np.float32], sampling: Sampling, random: np.random.Generator, constraint: Constraint | None
) -> int:
    """The next token: drawn from the distribution of `logits` over the allowed tokens. Raises DeadEndError."""
    if constraint is None:
        if sampling.greedy:
            return int(logits.argmax())
        return distribution(logits, sampling).pick(random.random())
    if sampling.greedy:
        return _best(logits, constraint)
    if not sampling.truncates and (guess := _guess(logits, sampling, random, constraint)) is not None:
        return guess
    # What top-k, top-p and min-p keep depends on which tokens are allowed at all, so guessing would be biased.
    among = _everything(logits, constraint)
    return distribution(logits, sampling, among).pick(random.random())


def _best(logits: NDArray[np.float32], constraint: Constraint) -> int:
    best = int(logits.argmax())
    if constraint.allows(best):
        return best
    head = constraint.allowed(top_tokens(logits, HEAD))
    if head.size:
        return int(head[0])
    among = _everything(logits, constraint)
    return int(among[logits[among].argmax()])


def _guess(
    logits: NDArray[np.float32], sampling: Sampling, random: np.random.Generator, constraint: Constraint
) -> int | None:
    """The first allowed of several independent draws: rejection sampling, which leaves the distribution exact."""
    candidates = distribution(logits, sampling)
    refused: set[int] = set()
    for _ in range(GUESSES):
        token = candidates.pick(random.random())
        if token not in refused:
            if constraint.allows(token):
                return token
            refused.add(token)
    return None


def _everything(logits: NDArray[np.float32], constraint: Constraint) -> NDArray[np.intp]:
    among = constraint.allowed(np.arange(logits.size, dtype=np.intp))
    if not among.size:
        raise DeadEndError("no token continues the text under the grammar")
    return among
