"""How long an answer may be: what the caller asks, within what operators allow. Pure."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from gateway.errors import RequestError
from gateway.types import Allowance

Excess = Literal["lower", "refuse"]
"""What becomes of a request for more than is allowed."""

Holder = tuple[str, Allowance]
"""Whom an allowance is for, in words, and the allowance."""


class OutputLimit(Struct, frozen=True):
    """The most tokens an answer may have, None for no limit, and for whom that holds; `whom` is "" for the caller's."""

    tokens: int | None
    whom: str = ""


def output_limit(asked: int | None, holders: Sequence[Holder], on_excess: Excess) -> OutputLimit:
    """What holds for a request: of several maxima the lowest, of several defaults the first. Raises RequestError.

    A maximum holds as well where a caller names no limit: a backend would otherwise go as far as it can.
    """
    maxima = [OutputLimit(each.max_output, whom) for whom, each in holders if each.max_output is not None]
    defaults = [OutputLimit(each.default_output, whom) for whom, each in holders if each.default_output is not None]
    highest = min(maxima, key=_tokens, default=None)
    if asked is None:
        return min((*defaults[:1], *maxima), key=_tokens, default=OutputLimit(None))
    if highest is None or asked <= _tokens(highest):
        return OutputLimit(asked)
    if on_excess == "refuse":
        raise RequestError(
            f"max_tokens is {asked}; an answer may have at most {highest.tokens} tokens ({highest.whom})",
            param="max_tokens",
        )
    return highest


def _tokens(limit: OutputLimit) -> int:
    assert limit.tokens is not None
    return limit.tokens
