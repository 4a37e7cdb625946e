"""Machines that are made of numbers: what their calls of llama_decode take, in seconds."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """Seconds of a call: with one token for each of so many streams at a position, and with a piece of a prompt."""

    step: Callable[[int, int], float]
    piece: Callable[[int, int], float]


def flash_piece(tokens: int, at: int) -> float:
    """The kernel for few tokens pays for every position of every one of them."""
    if tokens < 64:
        return 0.010 + tokens * (0.0031 + 12.2e-6 * at)
    return 48e-6 * at + tokens * (0.0031 + 0.9e-6 * at)


# SmolLM2-135M on two cores with either kind of attention, as measured, and a model of some billions.
PLAIN = Machine(
    lambda streams, at: 0.010 + streams * (0.0048 + 5e-6 * at),
    lambda tokens, at: 0.010 + 6e-6 * at + tokens * (0.0034 + 0.85e-6 * at),
)
FLASH = Machine(lambda streams, at: 0.010 + streams * (0.0036 + 14e-6 * at), flash_piece)
LARGE = Machine(lambda streams, _: 0.200 + 0.030 * streams, lambda tokens, _: 0.100 + 0.100 * tokens)
