"""Two hundred and more requests of every kind, and what the models behind the gateway do with them.

Thirty-one scenarios, each with seven prompts. Scenarios that make a backend fail are spread out, so that no breaker
opens: what an open breaker does has tests of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tests.e2e.configs import LIGHT, TO_LIGHT, TO_MID, TO_PREMIUM
from tests.faults.behaviours import Behaviour, Says, Status, Tool

PROMPTS = (
    "Say hello.",
    "What is the capital of France?",
    "Thanks!",
    "Extract the order number: your order 4711 has left our house.",
    "Which day comes after Monday?",
    "Is water wet? Answer in one word.",
    "What colour is the sky?\n\nAnswer with 'blue' or 'green' only, s'il vous plaît.",
)
DOUBTFUL = Says(text="It may be this or that.", logprob=-6.0)
LONG = " ".join(f"word{number}" for number in range(24))
WORKS = Says(text="That is a good answer, and a whole one.", cached_tokens=1)
THINKS = Says(text="Forty-two.", reasoning="Let me think.", completion_tokens=77, reasoning_tokens=70, logprob=None)
DOWN = Status(status=500)
SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "type": "json_schema",
        "json_schema": {
            "name": "city",
            "schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
)
TOOL: Mapping[str, Any] = MappingProxyType(
    {
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """One request. `programs` says what the next calls of each model meet; `tier` is who answers, None for nobody."""

    name: str
    tier: str | None
    model: str = "auto"
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, tuple[Behaviour, ...]] = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        """Whether it asks for a stream."""
        return bool(self.body.get("stream"))


STREAM: Mapping[str, Any] = MappingProxyType({"stream": True})
USAGE: Mapping[str, Any] = MappingProxyType({"stream": True, "stream_options": {"include_usage": True}})

SCENARIOS = (
    Fixed(name="light", tier="light", headers=TO_LIGHT),
    Fixed(name="light-stream", tier="light", headers=TO_LIGHT, body=STREAM),
    Fixed(name="mid-cached", tier="mid", headers=TO_MID, programs={"mid": (WORKS,)}),
    Fixed(name="premium-thinks", tier="premium", headers=TO_PREMIUM, programs={"premium": (THINKS,)}, body=USAGE),
    Fixed(name="low-confidence", tier="mid", headers=TO_LIGHT, programs={LIGHT: (DOUBTFUL,), "mid": (WORKS,)}),
    Fixed(
        name="low-confidence-stream",
        tier="mid",
        headers=TO_LIGHT,
        body=USAGE,
        programs={LIGHT: (Says(text=LONG, logprob=-6.0, hold="never", hold_after=24),), "mid": (WORKS,)},
    ),
    Fixed(name="short-doubtful-stream", tier="mid", headers=TO_LIGHT, body=STREAM, programs={LIGHT: (DOUBTFUL,)}),
    Fixed(name="mid-down", tier="premium", headers=TO_MID, programs={"mid": (DOWN,)}),
    Fixed(name="mid-tier", tier="mid", model="mid", programs={"mid": (WORKS,)}, body=USAGE),
    Fixed(name="premium-tier", tier="premium", model="premium"),
    Fixed(name="pinned", tier="light", model="local", body={"temperature": 0.7, "stop": ["\n\n"], "seed": 7}),
    Fixed(name="pinned-stream", tier="premium", model="big", body=STREAM, programs={"premium": (WORKS,)}),
    Fixed(name="alias", tier="light", model="gpt-4o-mini", headers=TO_LIGHT),
    Fixed(
        name="light-busy",
        tier="mid",
        headers=TO_LIGHT,
        programs={LIGHT: (Status(status=503, headers={"retry-after": "0"}),)},
    ),
    Fixed(name="logprobs", tier="light", headers=TO_LIGHT, body={"logprobs": True, "top_logprobs": 3}),
    Fixed(name="three-choices", tier="light", headers=TO_LIGHT, body={"n": 3}),
    Fixed(name="two-choices-stream", tier="mid", headers=TO_MID, body={**USAGE, "n": 2}),
    Fixed(
        name="good-json",
        tier="light",
        headers=TO_LIGHT,
        body={"response_format": SCHEMA},
        programs={LIGHT: (Says(text='{"city": "Paris"}'),)},
    ),
    Fixed(
        name="bad-json",
        tier="mid",
        headers=TO_LIGHT,
        body={"response_format": SCHEMA},
        programs={LIGHT: (Says(text='{"town": "Paris"'),), "mid": (Says(text='{"city": "Paris"}'),)},
    ),
    Fixed(
        name="bad-json-stream",
        tier="mid",
        headers=TO_LIGHT,
        body={"response_format": SCHEMA, **STREAM},
        programs={LIGHT: (Says(text='{"town": "Paris"}'),), "mid": (Says(text='{"city": "Paris"}'),)},
    ),
    Fixed(name="truncated", tier="mid", headers=TO_LIGHT, programs={LIGHT: (Says(finish_reason="length"),)}),
    Fixed(
        name="refusal",
        tier="mid",
        headers=TO_LIGHT,
        programs={LIGHT: (Says(text="I'm sorry, but I can't help with that."),)},
    ),
    Fixed(
        name="nobody-better",
        tier="light",
        headers=TO_LIGHT,
        programs={LIGHT: (DOUBTFUL,), "mid": (DOWN,), "premium": (DOWN,)},
    ),
    Fixed(name="mid-again", tier="mid", headers=TO_MID, body={"max_tokens": 40, "user": "somebody"}),
    Fixed(
        name="nobody-better-stream",
        tier="light",
        headers=TO_LIGHT,
        body=USAGE,
        programs={LIGHT: (DOUBTFUL,), "mid": (DOWN,), "premium": (DOWN,)},
    ),
    Fixed(
        name="no-escalation",
        tier="light",
        headers={**TO_LIGHT, "x-forebay-no-escalation": "true"},
        programs={LIGHT: (DOUBTFUL,)},
    ),
    Fixed(
        name="tools",
        tier="mid",
        headers=TO_LIGHT,
        body={"tools": [TOOL]},
        programs={"mid": (Says(tools=(Tool("look_up", '{"q": "paris"}'),)),)},
    ),
    Fixed(
        name="broken-stream",
        tier="light",
        headers=TO_LIGHT,
        body=STREAM,
        programs={LIGHT: (Says(text=f"{LONG} {LONG}", ends="close", after=40),)},
    ),
    Fixed(
        name="rate-limited",
        tier="premium",
        headers=TO_MID,
        body=STREAM,
        programs={"mid": (Status(status=429, headers={"retry-after": "0"}),)},
    ),
    Fixed(name="no-such-model", tier=None, model="gpt-9"),
    Fixed(name="no-such-region", tier=None, headers={"x-forebay-region": "eu-west-2"}),
)


def fixed_requests() -> Iterator[tuple[str, str, Fixed]]:
    """An id, a prompt and the request, prompt after prompt through all scenarios."""
    for number, prompt in enumerate(PROMPTS):
        for scenario in SCENARIOS:
            yield f"fixed-{number}-{scenario.name}", prompt, scenario
