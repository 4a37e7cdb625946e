"""SQLite's write-ahead log, read for what only it can tell: how many transactions there were.

Format: https://sqlite.org/fileformat2.html#walformat. A header of 32 bytes, then frames of a header of 24 bytes and
a page each; the frame that ends a transaction has the size of the database in its second word.
"""

import struct
from pathlib import Path

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")


def commits(database: Path) -> int:
    """Transactions in the log of a database, as long as nobody has begun it anew."""
    raw = database.with_name(f"{database.name}-wal").read_bytes()
    _, _, page_size, _, *salt, _, _ = _HEADER.unpack_from(raw)
    count, offset = 0, _HEADER.size
    while offset + _FRAME.size + page_size <= len(raw):
        _, size_after_commit, *of_frame, _, _ = _FRAME.unpack_from(raw, offset)
        count += of_frame == salt and size_after_commit > 0
        offset += _FRAME.size + page_size
    return count
