"""The first half of the corridor: policy, classification and route of a request, without asking anybody."""

import time

from gateway.classify import Classifier
from gateway.messages import ChatRequest
from gateway.policy import Policy
from gateway.routing import RoutingTable, plan
from gateway.run import Decided
from gateway.tokens import estimate_prompt
from gateway.types import Identity


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
        prompt = estimate_prompt(request)
        constraints = self._policy.constrain(request, identity, prompt, deadline)
        classification = self._classifier.classify(request, prompt)
        route = plan(
            self.table,
            target,
            constraints,
            classification,
            allow_fallback=request.hints.allow_fallback,
            max_tokens=request.sampling.max_tokens,
        )
        took_s = time.perf_counter() - started
        return Decided(constraints=constraints, classification=classification, route=route, took_s=took_s)
