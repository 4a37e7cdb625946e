"""The first half of the corridor: policy, classification and route of a request, without asking anybody."""

import time

import msgspec

from gateway.classify import Classifier
from gateway.errors import Reason
from gateway.messages import ChatRequest
from gateway.policy import Policy
from gateway.policy.prompt import Fitted
from gateway.routing import RoutingTable, Target, plan
from gateway.run import Decided, Decision
from gateway.tokens import estimate_prompt
from gateway.types import Identity, Route


class Decider:
    """Decides what becomes of requests. It holds no connection and waits for nothing."""

    def __init__(self, policy: Policy, classifier: Classifier, table: RoutingTable) -> None:
        self.table = table
        self._policy = policy
        self._classifier = classifier

    def decide(self, request: ChatRequest, identity: Identity, deadline: float) -> Decided:
        """What is decided for `request`; `deadline` is on the loop's clock. Raises RequestError."""
        started = time.perf_counter()
        target = self.table.resolve(request.requested_model)
        found = self._policy.fit(request, identity, estimate_prompt(request))
        decided = self._routed(found, target, identity, deadline, started)
        widest = self._widest(decided.route)
        if widest is not None:
            shorter = self._policy.fit_into(found, identity, widest)
            if shorter is not None:
                decided = self._routed(shorter, target, identity, deadline, started)
        return decided

    def shorter(self, decided: Decision[ChatRequest], identity: Identity) -> Decided | None:
        """The same with fewer turns, for who counts more tokens than were estimated; None where none may be dropped."""
        started = time.perf_counter()
        found = Fitted(decided.request, decided.classification.prompt, decided.dropped_turns)
        fewer = self._policy.fit_into(found, identity, decided.constraints.tokens_needed // 2)
        if fewer is None:
            return None
        target = self.table.resolve(decided.request.requested_model)
        again = self._routed(fewer, target, identity, decided.constraints.deadline, started - decided.took_s)
        # The limit of the answer stands in the request by now, where it can be told from the caller's no more.
        return msgspec.structs.replace(again, max_output=again.max_output or decided.max_output)

    def _routed(self, found: Fitted, target: Target, identity: Identity, deadline: float, started: float) -> Decided:
        """The decision on a request whose length is settled; `started` is when its making began."""
        classification = self._classifier.classify(found.request, found.prompt)
        limited = self._policy.limit(found.request, identity, classification.task)
        constraints = self._policy.constrain(limited.request, identity, found.prompt, deadline)
        route = plan(
            self.table,
            target,
            constraints,
            classification,
            allow_fallback=limited.request.hints.allow_fallback,
            max_tokens=limited.request.sampling.max_tokens,
        )
        return Decided(
            request=limited.request,
            constraints=constraints,
            classification=classification,
            route=route,
            took_s=time.perf_counter() - started,
            max_output=limited.imposed,
            dropped_turns=found.dropped,
        )

    def _widest(self, route: Route) -> int | None:
        """The largest context of those who may answer, where it is too small; None where it is no question of that."""
        if route.candidates:
            return None
        short = (self.table.specs[each.backend] for each in route.excluded if each.reason is Reason.CONTEXT_LENGTH)
        return max((spec.context for spec in short if spec.context is not None), default=None)
