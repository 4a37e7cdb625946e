"""A BERT in numpy, from the tensors of a GGUF: what embeddings are, computed the plain way, one text at a time."""

import math
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SCALARS: Final = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}
_ALIGNMENT: Final = 32


class Bert:
    """A loaded file."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._at = 8
        self.metadata: dict[str, Any] = {}
        self._tensors: dict[str, Floats] = {}
        self._read()

    def tokens(self, tokens: list[int]) -> Floats:
        """The last layer's vector of every token."""
        size = len(tokens)
        table, places, kinds = (
            self._tensors[f"{name}.weight"] for name in ("token_embd", "position_embd", "token_types")
        )
        states = self._normal("token_embd_norm", table[tokens] + places[:size] + kinds[0])
        for layer in range(self.metadata["bert.block_count"]):
            block = f"blk.{layer}"
            states = self._normal(f"{block}.attn_output_norm", states + self._attention(block, states))
            inner = _gelu(self._linear(f"{block}.ffn_up", states))
            states = self._normal(f"{block}.layer_output_norm", states + self._linear(f"{block}.ffn_down", inner))
        return states

    def mean(self, tokens: list[int]) -> Floats:
        """The mean of the tokens' vectors, of length 1."""
        pooled: Floats = self.tokens(tokens).mean(axis=0)
        return pooled / np.linalg.norm(pooled)

    def first(self, tokens: list[int]) -> Floats:
        """The vector of the first token, of length 1."""
        pooled: Floats = self.tokens(tokens)[0]
        return pooled / np.linalg.norm(pooled)

    def _attention(self, block: str, states: Floats) -> Floats:
        heads = self.metadata["bert.attention.head_count"]
        size, width = states.shape
        query, key, value = (
            self._linear(f"{block}.{name}", states).reshape(size, heads, width // heads).transpose(1, 0, 2)
            for name in ("attn_q", "attn_k", "attn_v")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(width // heads)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        mixed = weights / weights.sum(axis=2, keepdims=True) @ value
        return self._linear(f"{block}.attn_output", mixed.transpose(1, 0, 2).reshape(size, width))

    def _linear(self, name: str, states: Floats) -> Floats:
        return states @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _normal(self, name: str, states: Floats) -> Floats:
        spread = states.var(axis=1, keepdims=True) + self.metadata["bert.attention.layer_norm_epsilon"]
        scaled = (states - states.mean(axis=1, keepdims=True)) / np.sqrt(spread)
        normal: Floats = scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
        return normal

    def _read(self) -> None:
        tensors, entries = self._take("<QQ")
        for _ in range(entries):
            key = self._text()
            self.metadata[key] = self._value(*self._take("<I"))
        records = [self._record() for _ in range(tensors)]
        begin = -(-self._at // _ALIGNMENT) * _ALIGNMENT
        for name, shape, kind, offset in records:
            values = np.frombuffer(self._data, ("<f4", "<f2")[kind], math.prod(shape), begin + offset)
            self._tensors[name] = values.reshape(shape).astype(np.float64)

    def _record(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text()
        (dimensions,) = self._take("<I")
        shape = tuple(reversed(self._take(f"<{dimensions}Q")))
        kind, offset = self._take("<IQ")
        return name, shape, kind, offset

    def _value(self, kind: int) -> Any:
        if kind == 8:
            return self._text()
        if kind == 9:
            inner, count = self._take("<IQ")
            return [self._value(inner) for _ in range(count)]
        return self._take(_SCALARS[kind])[0]

    def _text(self) -> str:
        (length,) = self._take("<Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found


def _gelu(values: Floats) -> Floats:
    found: Floats = 0.5 * values * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))
    return found
