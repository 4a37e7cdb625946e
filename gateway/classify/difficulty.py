"""P(this request needs more than the light tier), from measures and wording. A logistic model, read from a file.

The weights come from `scripts/fit-difficulty`, which fits them to the labelled prompts in
`scripts/difficulty/prompts/` and prints how well prompts of one author are judged by what was learnt from the
others. They are a start for a gateway without a history of its own: published routers that were trained on other
people's prompts are near random on new ones, so what counts in the end is what the operator's own outcomes say.
"""

import math
from collections.abc import Mapping
from importlib import resources

import msgspec
from msgspec import Struct

from gateway.classify.measures import Reading, measure
from gateway.types import Signal


class Weights(Struct, frozen=True):
    """log-odds = intercept + Σ measure · weight + wording.

    wording = Σ weights of the distinct known words ÷ √(how many distinct known words there are).
    """

    intercept: float
    measures: dict[str, float]
    words: dict[str, float]


class Difficulty:
    """Judges how hard a request is."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    @classmethod
    def shipped(cls) -> "Difficulty":
        """With the weights that come with Forebay."""
        raw = resources.files(__package__).joinpath("difficulty.json").read_bytes()
        return cls(msgspec.json.decode(raw, type=Weights))

    def judge(self, reading: Reading) -> tuple[float, tuple[Signal, ...]]:
        """The log-odds of being hard, and the signals they are the sum of, weightiest first."""
        weights = self.weights
        weight_of = weights.measures.get
        signals = [
            Signal(name, value, value * weight)
            for name, value in measure(reading).items()
            if (weight := weight_of(name))
        ]
        known, wording = _wording(reading.tokens, weights.words)
        if known:
            signals.append(Signal("wording", float(known), wording))
        signals.sort(key=lambda signal: -abs(signal.weight))
        return weights.intercept + sum([signal.weight for signal in signals]), tuple(signals)


def _wording(words: list[str], weights: Mapping[str, float]) -> tuple[int, float]:
    found = [weights[word] for word in set(words) if word in weights]
    return len(found), sum(found) / math.sqrt(len(found)) if found else 0.0
