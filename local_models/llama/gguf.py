"""Is this file a whole GGUF? Looks at the header and at where the tensors end, never at the tensors.

Written after the format's specification (ggml, docs/gguf.md): magic, version, tensor count, metadata count, the
metadata, one record per tensor (name, dimensions, type, offset), padding, data. llama.cpp aborts or misreads on some
damaged files; the engine refuses them first, with a line that says what to do.
"""

import mmap
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from local_models.llama.errors import EXIT_BAD_FILE, StartError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
"""Version 1 had 32-bit counts and is refused by llama.cpp too."""

_STRING: Final = 8
_ARRAY: Final = 9
_SCALAR_BYTES: Final[Mapping[int, int]] = MappingProxyType(
    {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
)
_MAX_DIMENSIONS: Final = 4
_MAX_NESTING: Final = 8
_DEFAULT_ALIGNMENT: Final = 32

# ggml_type -> (elements per block, bytes per block), from ggml's type table. A type that is not here is only checked
# to begin inside the file: newer files stay usable.
_BLOCKS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
        0: (1, 4),  # F32
        1: (1, 2),  # F16
        2: (32, 18),  # Q4_0
        3: (32, 20),  # Q4_1
        6: (32, 22),  # Q5_0
        7: (32, 24),  # Q5_1
        8: (32, 34),  # Q8_0
        9: (32, 36),  # Q8_1
        10: (256, 84),  # Q2_K
        11: (256, 110),  # Q3_K
        12: (256, 144),  # Q4_K
        13: (256, 176),  # Q5_K
        14: (256, 210),  # Q6_K
        15: (256, 292),  # Q8_K
        16: (256, 66),  # IQ2_XXS
        17: (256, 74),  # IQ2_XS
        18: (256, 98),  # IQ3_XXS
        19: (256, 50),  # IQ1_S
        20: (32, 18),  # IQ4_NL
        21: (256, 110),  # IQ3_S
        22: (256, 82),  # IQ2_S
        23: (256, 136),  # IQ4_XS
        24: (1, 1),  # I8
        25: (1, 2),  # I16
        26: (1, 4),  # I32
        27: (1, 8),  # I64
        28: (1, 8),  # F64
        29: (256, 56),  # IQ1_M
        30: (1, 2),  # BF16
        34: (256, 54),  # TQ1_0
        35: (256, 66),  # TQ2_0
        39: (32, 17),  # MXFP4
    }
)


class _ShortError(Exception):
    """The file ended inside a field."""


class _WrongError(Exception):
    """A field holds what no GGUF can hold."""


class _Reader:
    """Little-endian fields from a buffer, with every length checked against what is left."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.size = len(data)
        self.at = 0
        self.alignment = _DEFAULT_ALIGNMENT

    def skip(self, count: int) -> int:
        """Move on by `count` bytes; returns where they began."""
        begin = self.at
        if count > self.size - begin:
            raise _ShortError
        self.at = begin + count
        return begin

    def u32(self) -> int:
        value: int = struct.unpack_from("<I", self.data, self.skip(4))[0]
        return value

    def u64(self) -> int:
        value: int = struct.unpack_from("<Q", self.data, self.skip(8))[0]
        return value

    def text(self) -> bytes:
        length = self.u64()
        begin = self.skip(length)
        return self.data[begin : begin + length]

    def value(self, kind: int, depth: int = 0) -> None:
        """Skip one metadata value of type `kind`."""
        if kind in _SCALAR_BYTES:
            self.skip(_SCALAR_BYTES[kind])
        elif kind == _STRING:
            self.skip(self.u64())
        elif kind == _ARRAY and depth < _MAX_NESTING:
            self._array(depth)
        else:
            raise _WrongError(f"metadata type {kind}")

    def _array(self, depth: int) -> None:
        kind, count = self.u32(), self.u64()
        if kind in _SCALAR_BYTES:
            self.skip(_SCALAR_BYTES[kind] * count)
            return
        for _ in range(count):  # each element takes at least eight bytes, so the file's size bounds this loop
            self.value(kind, depth + 1)


def check(path: Path) -> None:
    """Return when `path` is a GGUF and no byte of it is missing.

    Raises:
        StartError: with exit code 3 and one line saying what is wrong and what to do.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refused(path, "it is not a regular file")
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                raise _refused(path, f"it is not a GGUF file (it begins with {magic!r})")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check(_Reader(data), path)
    except _ShortError:
        raise _refused(path, f"it is cut short at {path.stat().st_size:,} bytes") from None
    except _WrongError as error:
        raise _refused(path, f"its header is damaged ({error})") from None
    except OSError as error:
        raise _refused(path, f"it cannot be read ({error.strerror})") from None


def _check(reader: _Reader, path: Path) -> None:
    reader.skip(len(MAGIC))
    version = reader.u32()
    if version not in VERSIONS:
        raise _refused(path, f"its GGUF version {_version(version)} is not supported (2 and 3 are)")
    tensors, entries = reader.u64(), reader.u64()
    for _ in range(entries):
        _entry(reader)
    ends = [_tensor(reader) for _ in range(tensors)]
    begin = -(-reader.at // reader.alignment) * reader.alignment
    needed = begin + max(ends, default=0)
    if needed > reader.size:
        raise _refused(path, f"it is cut short: {reader.size:,} of {needed:,} bytes are there")


def _entry(reader: _Reader) -> None:
    key, kind = reader.text(), reader.u32()
    if key == b"general.alignment" and kind == 4:  # a u32
        reader.alignment = reader.u32()
        if reader.alignment == 0 or reader.alignment % 8:
            raise _WrongError(f"alignment {reader.alignment}")
    else:
        reader.value(kind)


def _tensor(reader: _Reader) -> int:
    """Where the tensor's data ends, counted from the beginning of the data."""
    name, dimensions = reader.text(), reader.u32()
    if dimensions > _MAX_DIMENSIONS:
        raise _WrongError(f"tensor {name[:64]!r} with {dimensions} dimensions")
    elements = 1
    for _ in range(dimensions):
        elements *= reader.u64()
    kind, offset = reader.u32(), reader.u64()
    per_block, block_bytes = _BLOCKS.get(kind, (1, 0))
    return offset + -(-elements // per_block) * block_bytes


def _version(number: int) -> str:
    swapped = int.from_bytes(number.to_bytes(4, "little"), "big")
    return f"{swapped} (big-endian)" if swapped in VERSIONS else str(number)


def _refused(path: Path, why: str) -> StartError:
    return StartError(f"cannot use {path}: {why}; fetch the model again or give another file", EXIT_BAD_FILE)
