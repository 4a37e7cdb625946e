"""Hold the first pieces of a streamed answer back, so that they can be scored before anybody has seen them.

Free text is held for a number of tokens or a time after the first one, whichever comes first; JSON and tool calls
are held whole, being useless in part. Where no other answer could go out instead, only the first pieces are awaited,
to know that the backend answers at all.
"""

import asyncio
from contextlib import suppress

from msgspec import Struct

from gateway.attempt import OpenAnswer
from gateway.messages import ChatRequest
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
    transcript, tokens = answer.transcript, window.tokens
    while not answer.ended and not transcript.tokens:
        await answer.batch()
    # The stream stays usable when time is up.
    with suppress(TimeoutError):
        async with asyncio.timeout(None if tokens is None else window.seconds):
            while not answer.ended and (tokens is None or transcript.tokens < tokens):
                await answer.batch()
