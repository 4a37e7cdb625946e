"""Fit the difficulty model to labelled prompts, and say how well it does on prompts of authors it has not seen.

usage: scripts/fit-difficulty [--check]

Reads `prompts/*.jsonl` beside this file, one file per author, and writes `gateway/classify/difficulty.json`.
With --check nothing is written. Logistic regression with an L2 penalty, by Newton's method; about ten seconds.
"""

import argparse
import json
import pathlib
from collections import Counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.classify.difficulty import Difficulty, Weights
from gateway.classify.lexicon import DIFFICULTY, TASKS, Lexicon
from gateway.classify.measures import Reading, measure
from gateway.messages import Message

Vector = NDArray[np.float64]

HERE = pathlib.Path(__file__).parent
WEIGHTS = HERE.parents[1] / "gateway" / "classify" / "difficulty.json"
# Chosen by leave-one-author-out: how far measures count beside wording, how strongly weights are drawn to zero,
# and in how many prompts a word must stand to be known.
MEASURE_SCALE = 0.15
WORD_SCALE = 2.0
STRENGTH = 3.0
FEWEST_PROMPTS = 3


class Row(msgspec.Struct):
    """A labelled prompt."""

    id: str
    domain: str
    difficulty: str
    messages: tuple[Message, ...]
    author: str = ""


def load() -> list[Row]:
    """Every prompt of every author."""
    rows = []
    for path in sorted((HERE / "prompts").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = msgspec.json.decode(line.encode(), type=Row)
            row.author = path.stem
            rows.append(row)
    return rows


def read(rows: list[Row]) -> list[Reading]:
    """The rows as the gateway reads them."""
    words = Lexicon(DIFFICULTY | TASKS)
    return [Reading(row.messages, words) for row in rows]


class Features:
    """Standardised measures and known words of a training set, applied to any reading."""

    def __init__(self, readings: list[Reading]) -> None:
        measured = [measure(reading) for reading in readings]
        self.names = sorted({name for found in measured for name in found})
        table = np.array([[found.get(name, 0.0) for name in self.names] for found in measured])
        self.mean, self.spread = table.mean(0), table.std(0) + 1e-9
        counts = Counter(word for reading in readings for word in set(reading.tokens))
        self.words = sorted(word for word, count in counts.items() if count >= FEWEST_PROMPTS)
        self.index = {word: column for column, word in enumerate(self.words)}

    def matrix(self, readings: list[Reading]) -> Vector:
        """One row per reading: measures, then words."""
        measures = np.array([[measure(reading).get(name, 0.0) for name in self.names] for reading in readings])
        words = np.zeros((len(readings), len(self.words)))
        for row, reading in enumerate(readings):
            known = [self.index[word] for word in set(reading.tokens) if word in self.index]
            words[row, known] = WORD_SCALE / np.sqrt(len(known)) if known else 0.0
        return np.hstack([(measures - self.mean) / self.spread * MEASURE_SCALE, words])

    def weights(self, fitted: Vector) -> Weights:
        """The fitted vector in the form the gateway reads."""
        count = len(self.names)
        per_measure = fitted[:count] * MEASURE_SCALE / self.spread
        return Weights(
            intercept=float(fitted[-1] - per_measure @ self.mean),
            measures={name: round(float(weight), 5) for name, weight in zip(self.names, per_measure, strict=True)},
            words={
                word: round(float(weight) * WORD_SCALE, 4)
                for word, weight in zip(self.words, fitted[count:-1], strict=True)
            },
        )


def fit(matrix: Vector, hard: NDArray[np.bool_]) -> Vector:
    """Weights and, last, the intercept, which is not drawn to zero."""
    table = np.hstack([matrix, np.ones((len(matrix), 1))])
    ridge = np.full(table.shape[1], 1 / STRENGTH)
    ridge[-1] = 1e-6
    weights = np.zeros(table.shape[1])
    for _ in range(12):
        probability = 1 / (1 + np.exp(-table @ weights))
        gradient = table.T @ (probability - hard) + ridge * weights
        curvature = (table * (probability * (1 - probability))[:, None]).T @ table + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def train(rows: list[Row]) -> Difficulty:
    """The model that these rows teach."""
    readings = read(rows)
    features = Features(readings)
    hard = np.array([row.difficulty == "hard" for row in rows])
    return Difficulty(features.weights(fit(features.matrix(readings), hard)))


def shares(model: Difficulty, rows: list[Row], threshold: float = 0.0) -> dict[str, float]:
    """Of the easy ones, how many are called easy; of the hard ones, how many hard."""
    called = {"easy": [0, 0], "hard": [0, 0]}
    for row, reading in zip(rows, read(rows), strict=True):
        log_odds, _ = model.judge(reading)
        called[row.difficulty][0] += (log_odds > threshold) == (row.difficulty == "hard")
        called[row.difficulty][1] += 1
    return {name: right / max(1, total) for name, (right, total) in called.items()}


def main() -> None:
    """Report on unseen authors, then fit to all and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="report only")
    arguments = parser.parse_args()
    rows = load()
    print(f"{len(rows)} prompts of {len({row.author for row in rows})} authors; learnt from the others:")
    print(f"{'author':12} {'easy → light':>14} {'hard → up':>12}")
    for author in sorted({row.author for row in rows}):
        model = train([row for row in rows if row.author != author])
        found = shares(model, [row for row in rows if row.author == author])
        print(f"{author:12} {found['easy']:>14.1%} {found['hard']:>12.1%}")
    if not arguments.check:
        _write(train(rows).weights)


def _write(weights: Weights) -> None:
    document: dict[str, Any] = msgspec.to_builtins(weights)
    WEIGHTS.write_text(json.dumps(document, indent=0, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    print(
        f"wrote {WEIGHTS.relative_to(WEIGHTS.parents[2])}: {len(weights.words)} words, {len(weights.measures)} measures"
    )


if __name__ == "__main__":
    main()
