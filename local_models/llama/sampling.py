"""From one row of logits to the next token. Pure numpy; the only state is the caller's generator and counts.

Order, as in vLLM: logit bias and penalties, then temperature, then min-p, top-k and top-p, then the draw.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

GREEDY_BELOW: Final = 1e-5
"""Temperatures under this mean argmax; dividing by them would overflow. vLLM's threshold."""
NEGLIGIBLE: Final = 30.0
"""Scaled logits this far below the best are left out of a draw. e^-30 is 9e-14: with a vocabulary of 262,144 the
whole tail weighs 2.5e-8, less than one float32 step of the total."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. `top_k` 0 and `min_p` 0 mean off; `bias` is (token, amount added to its logit)."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None

    @property
    def greedy(self) -> bool:
        """No randomness: the largest adjusted logit wins."""
        return self.temperature < GREEDY_BELOW

    @property
    def truncates(self) -> bool:
        """Some tokens are cut from the distribution because of their rank or weight."""
        return self.top_p < 1.0 or self.top_k > 0 or self.min_p > 0.0

    @property
    def penalises(self) -> bool:
        """Tokens already generated weigh less (or more)."""
        return self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """Candidate tokens and the running sum of their (unnormalised) weights."""

    ids: NDArray[np.intp]
    cumulative: NDArray[np.float64]

    def pick(self, uniform: float) -> int:
        """The token at `uniform` in [0, 1) of the total weight."""
        place = int(self.cumulative.searchsorted(uniform * self.cumulative[-1], side="right"))
        return int(self.ids[min(place, self.ids.size - 1)])


def generator(seed: int | None, choice: int) -> np.random.Generator:
    """The random stream of one choice. With a seed it repeats, and the choices of one request still differ."""
    if seed is None:
        return np.random.default_rng()
    return np.random.default_rng(np.random.SeedSequence([seed & (2**64 - 1), choice]))


def adjust(row: NDArray[np.float32], sampling: Sampling, seen: Counter[int]) -> NDArray[np.float32]:
    """`row` with bias and penalties; `row` itself when there are none, else a copy.

    `seen` counts the tokens generated so far (the prompt is not penalised). Formula of OpenAI's reference:
    logit[j] -= count[j] * frequency_penalty + (count[j] > 0) * presence_penalty.
    """
    if not sampling.bias and not (sampling.penalises and seen):
        return row
    adjusted = row.copy()
    for token, amount in sampling.bias:
        adjusted[token] += amount
    if sampling.penalises and seen:
        ids = np.fromiter(seen.keys(), dtype=np.intp, count=len(seen))
        counts = np.fromiter(seen.values(), dtype=np.float32, count=len(seen))
        adjusted[ids] -= counts * np.float32(sampling.frequency_penalty) + np.float32(sampling.presence_penalty)
    return adjusted


def distribution(
    logits: NDArray[np.float32], sampling: Sampling, among: NDArray[np.intp] | None = None
) -> Distribution:
    """What to draw from at `sampling.temperature`, over all tokens or only those `among`. Needs one finite logit."""
    values = logits if among is None else logits[among]
    scale = np.float32(1.0 / sampling.temperature)
    near = np.flatnonzero(values >= values.max() - NEGLIGIBLE * sampling.temperature)
    weights = np.exp((values[near] - values.max()) * scale)
    if sampling.min_p > 0.0:
        kept = weights >= sampling.min_p  # the best token weighs exactly 1
        near, weights = near[kept], weights[kept]
    if sampling.top_k > 0 or sampling.top_p < 1.0:
        order = _ranked(weights, sampling)
        near, weights = near[order], weights[order]
    ids: NDArray[np.intp] = near if among is None else among[near]
    return Distribution(ids, np.cumsum(weights, dtype=np.float64))


def _ranked(weights: NDArray[np.float32], sampling: Sampling) -> NDArray[np.intp]:
    """Indices that survive top-k and then top-p, heaviest first."""
    order = np.argsort(-weights, kind="stable")
    if 0 < sampling.top_k < order.size:
        order = order[: sampling.top_k]
    if sampling.top_p < 1.0:
        running = np.cumsum(weights[order], dtype=np.float64)
        needed = int(running.searchsorted(sampling.top_p * running[-1], side="left")) + 1
        order = order[:needed]
    return order
