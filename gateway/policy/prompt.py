"""How long a prompt may be, and what becomes of one that is longer: refused, or without its oldest turns. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Container, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from gateway.errors import Code, RequestError
from gateway.messages import ChatRequest
from gateway.policy.turns import Group, droppable, kind_of_message, kind_of_turn
from gateway.tokens import estimate_prompt
from gateway.types import TokenCount
from gateway.wire.anthropic_messages import openai_messages

T = TypeVar("T")


class Limit(Struct, frozen=True):
    """`tokens` at most, for `whom`, in words."""

    tokens: int
    whom: str


class Fitted(Struct, frozen=True):
    """A request that is short enough, what it has in tokens, and how many of its turns were dropped for that."""

    request: ChatRequest
    prompt: TokenCount
    dropped: int = 0


def fitted(request: ChatRequest, prompt: TokenCount, limits: Sequence[Limit], *, truncate: bool) -> Fitted:
    """The request as it is, or with `truncate` without its oldest turns. Raises RequestError where it is too long."""
    whole = Fitted(request, prompt)
    if not limits:
        return whole
    lowest = min(limits, key=lambda limit: limit.tokens)
    if prompt.tokens <= lowest.tokens:
        return whole
    shorter = shortened(whole, lambda count: count.tokens <= lowest.tokens) if truncate else None
    if shorter is None:
        raise _too_long(request, prompt, lowest, truncate=truncate)
    return shorter


def shortened(whole: Fitted, fits: Callable[[TokenCount], bool]) -> Fitted | None:
    """Without as few of the oldest turns as makes it fit; None where nothing that may be dropped does."""
    request, talk = whole.request, whole.request.conversation
    # A text that is to be gone on with has no turns.
    if request.prompt is not None:
        return None
    if talk is None:
        groups = droppable([kind_of_message(each) for each in request.messages])
    else:
        groups = droppable([kind_of_turn(each) for each in talk.messages])

    def enough(count: int) -> bool:
        return fits(_without(whole, groups, count).prompt)

    fewest = bisect_left(range(1, len(groups) + 1), x=True, key=enough) + 1
    return None if fewest > len(groups) else _without(whole, groups, fewest)


def _without(whole: Fitted, groups: Sequence[Group], count: int) -> Fitted:
    """The first `count` groups dropped."""
    gone = {position for group in groups[:count] for position in group}
    request, talk = whole.request, whole.request.conversation
    if talk is None:
        request = msgspec.structs.replace(request, messages=_kept(request.messages, gone))
    else:
        talk = msgspec.structs.replace(talk, messages=_kept(talk.messages, gone))
        request = msgspec.structs.replace(request, conversation=talk, messages=openai_messages(talk))
    return Fitted(request, estimate_prompt(request), whole.dropped + len(gone))


def _kept(turns: Sequence[T], gone: Container[int]) -> tuple[T, ...]:
    return tuple(each for position, each in enumerate(turns) if position not in gone)


def _too_long(request: ChatRequest, prompt: TokenCount, limit: Limit, *, truncate: bool) -> RequestError:
    counted = f"{prompt.tokens} tokens"
    if prompt.error:
        counted = f"about {prompt.tokens} tokens (estimated, ± {prompt.error})"
    still = ", and leaving out its oldest turns does not make it short enough" if truncate else ""
    return RequestError(
        f"the prompt has {counted}; at most {limit.tokens} are allowed ({limit.whom}){still}",
        code=Code.CONTEXT_LENGTH_EXCEEDED,
        param=request.prompt_field,
    )
