"""What a step is made of: see `scheduler`."""

from msgspec import Struct


class Row(Struct, frozen=True):
    """Positions `start` to `stop` of the sequence in `slot`; with `samples`, the last one yields logits."""

    slot: int
    start: int
    stop: int
    samples: bool


class Ready(Struct, frozen=True):
    """A slot whose row of logits is there, and slots that continue from a copy of its prompt and the same row."""

    slot: int
    followers: tuple[int, ...]
