"""Log-probabilities of one row of raw logits, at nearly no cost. Pure numpy.

The values are those of the model before temperature, penalties, bias and grammar, as vLLM reports them.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LINES: Final = 64
"""Lines, at most, that a row is laid out in where its best are looked for: of 49,152 logits that is 768 columns."""
_COLUMNS: Final = 4  # at least, for every token that is looked for

_NEAR: Final = 40.0
"""A largest logit so near to 0 leaves a float32 room on both sides: a pass over the row less, 14 of 48 microseconds."""

_DECIMALS: Final = 6  # what a float32 logit is good for, and a third of the bytes on the wire


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One chosen token: its log-probability and the `top` most likely ones as (token, logprob), best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def log_normaliser(row: NDArray[np.float32]) -> float:
    """log Σ exp(row), around the maximum where it could overflow or vanish. `row` has one logit per token."""
    peak = float(row.max())
    if abs(peak) <= _NEAR:
        return math.log(np.exp(row).sum())
    weights = row - np.float32(peak)
    np.exp(weights, out=weights)
    return peak + math.log(weights.sum())


def top_tokens(row: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Ids of the `count` largest logits, best first, equal ones by id."""
    count = min(count, row.size)
    if count == 0:
        return np.empty(0, dtype=np.intp)
    near = _candidates(row, count)
    if near.size > count:
        # Every candidate that ties with the last place stays in, so that ties resolve by id and not by partition order.
        place = np.partition(row[near], near.size - count)[near.size - count]
        near = near[row[near] >= place]
    order = np.lexsort((near, -row[near]))
    best: NDArray[np.intp] = near[order[:count]]
    return best


def _candidates(row: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Ids that have the `count` largest logits among them, and all that tie with the last of these.

    Laid out in lines, the row has columns with a maximum each. The `count` largest of these maxima are as many logits,
    so none that is smaller than all of them can be among the best: only their columns need be looked at.
    """
    height = min(LINES, row.size // (_COLUMNS * count))
    if height < 2:
        return np.arange(row.size)
    width = row.size // height
    grid = row[: height * width].reshape(height, width)
    peaks = grid.max(axis=0)
    least = np.partition(peaks, width - count)[width - count]
    columns = np.flatnonzero(peaks >= least)
    lines, places = np.nonzero(grid[:, columns] >= least)
    rest = np.flatnonzero(row[height * width :] >= least) + height * width
    return np.concatenate((lines * width + columns[places], rest))


def describe(row: NDArray[np.float32], token: int, top: int) -> TokenLogprob:
    """The log-softmax of `row` at `token` and at its `top` best tokens."""
    normaliser = log_normaliser(row)
    best = top_tokens(row, top)
    values = (row[best] - np.float64(normaliser)).tolist()
    return TokenLogprob(
        token=token,
        logprob=round(float(row[token]) - normaliser, _DECIMALS),
        top=tuple((place, round(value, _DECIMALS)) for place, value in zip(best.tolist(), values, strict=True)),
    )
