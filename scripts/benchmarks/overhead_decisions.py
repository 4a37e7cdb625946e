"""Decision time: policy, classification and routing of one request, for prompts of growing length.

Prints JSON: microseconds of CPU at the median and at the 99th percentile, by prompt tokens. CPU, because the wall time
of one in a hundred is what other programs on the machine make it; and of each request the cheapest of three decisions,
for on a virtual machine the time that its host takes away counts as CPU of whoever had it. A decision keeps nothing of
these requests, so the 99th percentile is that of the prompts.
"""

import json
import math
import random
import time

from gateway.classify import DEFAULT_TASKS, Classifier, Difficulty
from gateway.decision import Decider
from gateway.messages import ChatRequest, Message
from gateway.policy import Policy, Regions
from gateway.routing import RoutingTable
from gateway.types import BackendSpec, Capability, Identity, SlaClass, Tier

ROUNDS = 400
TURNS = 3
LENGTHS = (50, 500, 2000, 8000)
_TEXT = """\
please compare the quarterly revenue of both regions and explain why margin fell in 2023 if the contract clause 12.4
applies, then list each invoice over 4,500 EUR; def main(): return x == 3 and not y # prove it"""


def main() -> None:
    """Measure and print."""
    decider = _decider()
    identity = Identity(tenant="t", key="k", sla=SlaClass(name="c"))
    found = {}
    for length in LENGTHS:
        requests = [_request(length, seed) for seed in range(ROUNDS)]
        times = sorted(_cpu_us(decider, request, identity) for request in requests)
        found[f"{length}"] = [round(times[len(times) // 2]), round(times[int(0.99 * len(times))])]
    print(json.dumps(found))


def _cpu_us(decider: Decider, request: ChatRequest, identity: Identity) -> float:
    took = []
    for _ in range(TURNS):
        began = time.thread_time()
        decider.decide(request, identity, math.inf)
        took.append(time.thread_time() - began)
    return min(took) * 1e6


def _decider() -> Decider:
    specs = {
        name: BackendSpec(name=name, model=name, region="eu", capabilities=frozenset(Capability))
        for name in ("local", "mini", "big")
    }
    tiers = {Tier.LIGHT: ("local",), Tier.MID: ("mini",), Tier.PREMIUM: ("big",)}
    policy = Policy(Regions({"eu": ("eu",)}), local_only=False)
    return Decider(policy, Classifier(Difficulty.shipped(), DEFAULT_TASKS), RoutingTable(specs, tiers, {}))


def _request(tokens: int, seed: int) -> ChatRequest:
    draw = random.Random(seed)
    known = _TEXT.split()
    words = [draw.choice(known) for _ in range(int(tokens * 0.75))]
    text = "".join(word + ("\n\n" if draw.random() < 0.02 else " ") for word in words)
    return ChatRequest(id="x", created=0, requested_model="auto", messages=(Message("user", text),))


if __name__ == "__main__":
    main()
