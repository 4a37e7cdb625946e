"""What the loops ask of a context."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from local_models.llama.context import Batch


class Streams(Protocol):
    """The KV streams that batches are decoded into; see `context.Context`."""

    @property
    def streams(self) -> int:
        """How many there are."""
        ...

    @property
    def batch(self) -> Batch:
        """What the next `decode` evaluates."""
        ...

    def decode(self, below: float = ...) -> int:
        """Evaluate the batch; 0 when done. Who comes with a priority `below` this may end it early."""
        ...

    def logits(self, rows: int) -> NDArray[np.float32]:
        """Raw logits of the tokens that wanted them."""
        ...

    def trim(self, slot: int, length: int) -> bool:
        """Keep the first `length` tokens of one stream. False: it cannot be cut there, and is empty now."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Make one stream a copy of another."""
        ...

    def exchange(self, one: int, other: int) -> tuple[bool, bool]:
        """Two streams change places. Whether each is in its new one: if the first is not, it is where it was.

        A place is empty if whoever should be there is not.
        """
        ...

    def use_threads(self, threads: int) -> None:
        """So many compute from the next `decode` on."""
        ...

    def export(self, slot: int, streams: int) -> NDArray[np.uint8]:
        """What one stream holds, for a context with so many. Raises MemoryError."""
        ...

    def adopt(self, slot: int, state: NDArray[np.uint8]) -> bool:
        """Put what another context has exported in its place. False: the stream is empty now."""
        ...

    def close(self) -> None:
        """Free the streams."""
        ...
