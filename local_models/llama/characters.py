"""Sets of characters, as ranges of code points. Pure."""

from typing import Final

Range = tuple[int, int]
"""First and last code point, both included."""
Ranges = tuple[Range, ...]
"""Sorted, apart and not touching."""

EVERY: Final[Ranges] = ((0, 0xD7FF), (0xE000, 0x10FFFF))
"""All characters; surrogates are none."""


def union(ranges: list[Range]) -> Ranges:
    """The same characters as a sorted tuple of ranges that do not touch."""
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def overlap(left: Ranges, right: Ranges) -> Ranges:
    """The characters in both."""
    found = [(max(a, c), min(b, d)) for a, b in left for c, d in right if max(a, c) <= min(b, d)]
    return union(found)


def complement(ranges: Ranges) -> Ranges:
    """Every other character."""
    gaps: list[Range] = []
    begin = 0
    for low, high in ranges:
        if begin < low:
            gaps.append((begin, low - 1))
        begin = high + 1
    gaps.append((begin, 0x10FFFF))
    return overlap(tuple(gap for gap in gaps if gap[0] <= gap[1]), EVERY)
