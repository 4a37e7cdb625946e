"""Log-probabilities of one row of raw logits, at nearly no cost. Pure numpy.

The values are those of the model before temperature, penalties, bias and grammar, as vLLM reports them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 14.0
"""Natural-log units below the maximum in which the top candidates are looked for first: e^-14 is 8e-7, so twenty
tokens nearly always lie inside, and partitioning the few hundred survivors costs a tenth of partitioning the row."""

_DECIMALS: Final = 6  # what a float32 logit is good for, and a third of the bytes on the wire


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One chosen token: its log-probability and the `top` most likely ones as (token, logprob), best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def log_normaliser(row: NDArray[np.float32]) -> float:
    """log Σ exp(row), computed around the maximum so that nothing overflows. `row` has one logit per token."""
    peak = row.max()
    return float(peak) + float(np.log(np.exp(row - peak).sum()))


def top_tokens(row: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Ids of the `count` largest logits, best first, equal ones by id."""
    count = min(count, row.size)
    if count == 0:
        return np.empty(0, dtype=np.intp)
    near = np.flatnonzero(row >= row.max() - WINDOW)
    if near.size < count:
        near = np.arange(row.size)
    if near.size > count:
        # Every candidate that ties with the last place stays in, so that ties resolve by id and not by partition order.
        place = np.partition(row[near], near.size - count)[near.size - count]
        near = near[row[near] >= place]
    order = np.lexsort((near, -row[near]))
    best: NDArray[np.intp] = near[order[:count]]
    return best


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
