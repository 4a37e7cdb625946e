"""Tenant, request and rules for everybody, narrowed into one `Constraints`."""

from gateway.messages import ChatRequest
from gateway.policy.capability import needs
from gateway.policy.residency import Regions, narrow
from gateway.types import Constraints, Identity, TokenCount

# Room an answer needs at least for a backend's context to count as large enough. A caller's `max_tokens` is a
# ceiling, not a wish: asking for it whole would send "hello" to the cloud because a client's default is 4,096.
_ANSWER_ROOM = 256


class Policy:
    """Rules for everybody, applied to one request at a time."""

    def __init__(self, regions: Regions, *, local_only: bool) -> None:
        self._regions = regions
        self._local_only = local_only

    def constrain(self, request: ChatRequest, identity: Identity, prompt: TokenCount, deadline: float) -> Constraints:
        """What every attempt of `request` must obey; `deadline` is on the loop's clock."""
        hints = request.hints
        wanted = None if hints.region is None else self._regions.expand((hints.region,))
        room = min(request.sampling.max_tokens or _ANSWER_ROOM, _ANSWER_ROOM)
        return Constraints(
            regions=narrow(identity.regions, wanted),
            local_only=self._local_only or identity.local_only or hints.local_only,
            needs=needs(request),
            tokens_needed=prompt.tokens + prompt.error + room,
            sla=identity.sla,
            deadline=deadline,
            escalation_allowed=not hints.no_escalation,
        )
