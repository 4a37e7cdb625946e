"""Hold the first pieces of a streamed answer back, so that they can be scored before anybody has seen them.

Free text is held for a number of tokens or a time after the first one, whichever comes first; JSON and tool calls
are held whole, being useless in part. Where no other answer could go out instead, only the first pieces are awaited,
to know that the backend answers at all.
"""

import asyncio

from msgspec import Struct

from gateway.attempt import OpenAnswer
from gateway.messages import ChatRequest, Delta
from gateway.types import Tier


class Window(Struct, frozen=True):
    """How much is held: `tokens` None is everything; `seconds` count from the first token."""

    tokens: int | None
    seconds: float


COMMIT_AT_ONCE = Window(0, 0.0)
HOLD_WHOLE = Window(None, 0.0)


def window_for(request: ChatRequest, tier: Tier, light: Window, *, may_escalate: bool, in_hand: bool = False) -> Window:
    """What to hold of an answer of `tier`; `light` is the configured window for light free text.

    `may_escalate`: somebody stronger could be asked instead. `in_hand`: a weaker answer is held already, which goes
    out if this one breaks its structure or breaks off.
    """
    if request.structured and (may_escalate or in_hand):
        return HOLD_WHOLE
    return light if may_escalate and tier is Tier.LIGHT else COMMIT_AT_ONCE


async def hold(answer: OpenAnswer, window: Window) -> None:
    """Read into the answer's transcript until the window closes or the answer ends. Raises BackendError."""
    clock = asyncio.get_running_loop().time
    until: float | None = None
    while not answer.ended:
        if until is None or window.tokens is None:
            deltas = await answer.batch()
        else:
            deltas = await _batch_before(answer, until)
        if not deltas or (window.tokens is not None and answer.transcript.tokens >= max(1, window.tokens)):
            return
        if until is None and answer.transcript.tokens:
            until = clock() + window.seconds


async def _batch_before(answer: OpenAnswer, until: float) -> list[Delta]:
    """The next pieces, or none when time is up; the stream stays usable either way."""
    try:
        async with asyncio.timeout_at(until):
            return await answer.batch()
    except TimeoutError:
        return []
