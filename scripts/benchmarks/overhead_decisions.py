"""Decision time: policy, classification and routing of one request, for prompts of growing length.

Prints JSON: microseconds at the median and at the 99th percentile, by prompt tokens.
"""

import json
import random
import time

from gateway.classify import DEFAULT_TASKS, Classifier, Difficulty
from gateway.messages import ChatRequest, Message
from gateway.policy import Policy, Regions
from gateway.routing import RoutingTable, Target, plan
from gateway.tokens import estimate_prompt
from gateway.types import BackendSpec, Capability, Identity, SlaClass, Tier

ROUNDS = 400
LENGTHS = (50, 500, 2000, 8000)
_TEXT = """\
please compare the quarterly revenue of both regions and explain why margin fell in 2023 if the contract clause 12.4
applies, then list each invoice over 4,500 EUR; def main(): return x == 3 and not y # prove it"""


def main() -> None:
    """Measure and print."""
    specs = {
        name: BackendSpec(name=name, model=name, region="eu", capabilities=frozenset(Capability))
        for name in ("local", "mini", "big")
    }
    tiers = {Tier.LIGHT: ("local",), Tier.MID: ("mini",), Tier.PREMIUM: ("big",)}
    table = RoutingTable(specs, tiers, {})
    policy = Policy(Regions({"eu": ("eu",)}), local_only=False)
    classifier = Classifier(Difficulty.shipped(), DEFAULT_TASKS)
    identity = Identity(tenant="t", key="k", sla=SlaClass(name="c"))
    found = {}
    for length in LENGTHS:
        times = []
        for round_ in range(ROUNDS):
            request = _request(length, round_)
            began = time.perf_counter()
            prompt = estimate_prompt(request)
            constraints = policy.constrain(request, identity, prompt, 1e9)
            classification = classifier.classify(request, prompt)
            plan(table, Target(), constraints, classification, allow_fallback=False, max_tokens=None)
            times.append((time.perf_counter() - began) * 1e6)
        times.sort()
        found[f"{length}_tokens_us"] = [round(times[len(times) // 2]), round(times[int(0.99 * len(times))])]
    print(json.dumps(found))


def _request(tokens: int, seed: int) -> ChatRequest:
    draw = random.Random(seed)
    known = _TEXT.split()
    words = [draw.choice(known) for _ in range(int(tokens * 0.75))]
    text = "".join(word + ("\n\n" if draw.random() < 0.02 else " ") for word in words)
    return ChatRequest(id="x", created=0, requested_model="auto", messages=(Message("user", text),))


if __name__ == "__main__":
    main()
