"""Tenant, request and rules for everybody, narrowed into one `Constraints`."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gateway.errors import Code, RequestError
from gateway.messages import ChatRequest
from gateway.policy.capability import needs
from gateway.policy.output import Excess, OutputLimit, output_limit
from gateway.policy.prompt import Fitted, Limit, fitted, shortened
from gateway.policy.residency import Regions, narrow
from gateway.types import Allowance, Constraints, Identity, SlaClass, TokenCount
from gateway.vectors import EmbeddingRequest

# Room an answer needs at least for a backend's context to count as large enough. A caller's `max_tokens` is a
# ceiling, not a wish: asking for it whole would send "hello" to the cloud because a client's default is 4,096.
_ANSWER_ROOM = 256
_EVERYBODY = "everybody"
_ANYTHING = Allowance()


class Lengths(Struct, frozen=True, kw_only=True):
    """How long prompts and answers may be, beside what a class has: for everybody, and by task."""

    everybody: Allowance = Allowance()
    tasks: Mapping[str, Allowance] = {}
    on_excess: Excess = "lower"


class Limited(Struct, frozen=True):
    """A request with the limit of its answer; `imposed` is that limit where it is not the caller's."""

    request: ChatRequest
    imposed: int | None = None


class Policy:
    """Rules for everybody, applied to one request at a time."""

    def __init__(self, regions: Regions, *, local_only: bool, lengths: Lengths | None = None) -> None:
        self._regions = regions
        self._local_only = local_only
        self._lengths = lengths or Lengths()

    def fit(self, request: ChatRequest, identity: Identity, prompt: TokenCount) -> Fitted:
        """The request, short enough for whom it comes from; `prompt` is its size. Raises RequestError."""
        return fitted(request, prompt, self._prompt_limits(identity.sla), truncate=identity.sla.truncate)

    def fit_into(self, whole: Fitted, identity: Identity, context: int) -> Fitted | None:
        """The same for a backend's context, where nobody who may answer has a larger one; None where it cannot be."""
        if not identity.sla.truncate:
            return None
        room = _room(whole.request)
        return shortened(whole, lambda count: count.tokens + count.error + room <= context)

    def limit(self, request: ChatRequest, identity: Identity, task: str) -> Limited:
        """The request with what its answer may have at most. Raises RequestError."""
        lengths, sla = self._lengths, identity.sla
        of_task = lengths.tasks.get(task, _ANYTHING)
        if of_task == sla.allowance == lengths.everybody == _ANYTHING:
            return Limited(request)
        holders = (
            (f"task {task}", of_task),
            (_class(sla), sla.allowance),
            (_EVERYBODY, lengths.everybody),
        )
        asked = request.sampling.max_tokens
        found = output_limit(asked, holders, lengths.on_excess)
        if found.tokens == asked:
            return Limited(request)
        _leaves_room_to_think(request, found)
        sampling = msgspec.structs.replace(request.sampling, max_tokens=found.tokens)
        return Limited(msgspec.structs.replace(request, sampling=sampling), found.tokens)

    def constrain(self, request: ChatRequest, identity: Identity, prompt: TokenCount, deadline: float) -> Constraints:
        """What every attempt of `request` must obey; `deadline` is on the loop's clock."""
        hints = request.hints
        wanted = None if hints.region is None else self._regions.expand((hints.region,))
        return Constraints(
            regions=narrow(identity.regions, wanted),
            local_only=self._local_only or identity.local_only or hints.local_only,
            needs=needs(request),
            tokens_needed=prompt.tokens + prompt.error + _room(request),
            sla=identity.sla,
            deadline=deadline,
            escalation_allowed=not hints.no_escalation,
        )

    def constrain_vectors(
        self, request: EmbeddingRequest, identity: Identity, longest: int, deadline: float
    ) -> Constraints:
        """The same for a request for vectors, whose `longest` text has at least so many tokens. Raises RequestError.

        At least, because nobody else could take it: what may yet fit is for the backend to count.
        """
        for limit in self._prompt_limits(identity.sla):
            if longest > limit.tokens:
                raise RequestError(
                    f"a text has at least {longest} tokens; at most {limit.tokens} are allowed ({limit.whom})",
                    code=Code.CONTEXT_LENGTH_EXCEEDED,
                    param="input",
                )
        hints = request.hints
        wanted = None if hints.region is None else self._regions.expand((hints.region,))
        return Constraints(
            regions=narrow(identity.regions, wanted),
            local_only=self._local_only or identity.local_only or hints.local_only,
            needs=frozenset(),
            tokens_needed=longest,
            sla=identity.sla,
            deadline=deadline,
            escalation_allowed=False,
        )

    def _prompt_limits(self, sla: SlaClass) -> list[Limit]:
        everybody, own = self._lengths.everybody.max_prompt, sla.allowance.max_prompt
        limits = [] if everybody is None else [Limit(everybody, _EVERYBODY)]
        if own is not None:
            limits.append(Limit(own, _class(sla)))
        return limits


def _leaves_room_to_think(request: ChatRequest, limit: OutputLimit) -> None:
    """A budget for thought that would be no part of the answer's limit any more is refused by those who offer it."""
    thinking = None if request.conversation is None else request.conversation.thinking
    budget = None if thinking is None else thinking.budget_tokens
    if budget is not None and limit.tokens is not None and budget >= limit.tokens:
        raise RequestError(
            f"thinking.budget_tokens is {budget}; an answer, thought included, may have at most {limit.tokens} tokens "
            f"({limit.whom})",
            param="thinking.budget_tokens",
        )


def _class(sla: SlaClass) -> str:
    return f"class {sla.name}"


def _room(request: ChatRequest) -> int:
    return min(request.sampling.max_tokens or _ANSWER_ROOM, _ANSWER_ROOM)
