"""From one row of logits to the next token. Pure numpy; the only state is the caller's generator and counts.

Order, as in vLLM: logit bias and penalties, then temperature, then min-p, top-k and top-p, then the draw.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_models.llama.logprobs import top_tokens

GREEDY_BELOW: Final = 1e-5
"""Temperatures under this mean argmax; dividing by them would overflow. vLLM's threshold."""
_BLOCK: Final = 256
"""Weights are summed by blocks: a draw then costs two short running sums instead of one over the vocabulary."""
_HEAD: Final = 128
"""Tokens sorted first when a nucleus is looked for; eight times as many while it reaches further."""


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


class Distribution:
    """Candidate tokens and their (unnormalised) weights, ready to be drawn from."""

    def __init__(self, ids: NDArray[np.intp] | None, weights: NDArray[np.float32]) -> None:
        """`ids` are the tokens that the weights belong to; None means that token i has weight i."""
        self.ids = ids
        self.weights = weights
        self._blocks = np.cumsum(np.add.reduceat(weights, np.arange(0, weights.size, _BLOCK)), dtype=np.float64)

    def pick(self, uniform: float) -> int:
        """The token at `uniform` in [0, 1) of the total weight."""
        # Rounding must not lead past the last weight: of the whole, and of the block, whose sum rounds differently.
        target = min(uniform * self._blocks[-1], np.nextafter(self._blocks[-1], 0.0))
        block = int(self._blocks.searchsorted(target, side="right"))
        begin = block * _BLOCK
        inside = np.cumsum(self.weights[begin : begin + _BLOCK], dtype=np.float64)
        target = min(target - (self._blocks[block - 1] if block else 0.0), np.nextafter(inside[-1], 0.0))
        place = begin + int(inside.searchsorted(target, side="right"))
        return place if self.ids is None else int(self.ids[place])


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
    weights = np.exp((values - values.max()) * np.float32(1.0 / sampling.temperature))
    kept = _kept(values, weights, sampling) if sampling.truncates else None
    if kept is None:
        return Distribution(among, weights)
    return Distribution(kept if among is None else among[kept], weights[kept])


def _kept(values: NDArray[np.float32], weights: NDArray[np.float32], sampling: Sampling) -> NDArray[np.intp]:
    """Indices that survive min-p, then top-k, then top-p."""
    heavy = np.flatnonzero(weights >= sampling.min_p) if sampling.min_p > 0.0 else None  # the best weighs exactly 1
    if 0 < sampling.top_k < (values.size if heavy is None else heavy.size):
        heavy = top_tokens(values, sampling.top_k)
    if sampling.top_p >= 1.0:
        return np.arange(values.size) if heavy is None else heavy
    return _nucleus(values, weights, sampling.top_p, heavy)


def _nucleus(
    values: NDArray[np.float32], weights: NDArray[np.float32], top_p: float, heavy: NDArray[np.intp] | None
) -> NDArray[np.intp]:
    """The smallest set of the heaviest tokens, out of `heavy` or all, whose weight reaches `top_p` of theirs."""
    count = values.size if heavy is None else heavy.size
    total = float((weights if heavy is None else weights[heavy]).sum(dtype=np.float64))
    size = min(_HEAD, count)
    while True:
        best = top_tokens(values, size)
        running = np.cumsum(weights[best], dtype=np.float64)
        if running[-1] >= top_p * total or size == count:
            needed = int(running.searchsorted(top_p * total, side="left")) + 1
            return best[:needed]
        size = min(size * 8, count)
