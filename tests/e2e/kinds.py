"""Every kind of request a gateway over three tiers can meet, and the counts that each must add to, no others."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from tests.e2e.configs import LIGHT, TO_LIGHT, TO_MID, TO_PREMIUM
from tests.e2e.fixed_requests import DOUBTFUL, DOWN
from tests.faults.behaviours import Behaviour, Says
from tests.gateway.telemetry.samples import at

LONG = " ".join(f"word{number}" for number in range(60))
HELD_STREAM, HELD_ANSWER = Says(text=LONG, hold="never", hold_after=30), Says(hold="never", hold_after=-1)

ended = partial(at, "forebay_requests_total", sla_class="default", status="ok")
called = partial(at, "forebay_attempts_total", error="none", status="answered")
LIGHT_CALL = called(backend="local", engine="small", tier="light")
MID_CALL = called(backend="mini", engine="none", tier="mid")
BIG_CALL = called(backend="big", engine="none", tier="premium")
LIGHT_LOST = called(backend="local", engine="small", tier="light", status="superseded")
MID_DOWN = called(backend="mini", engine="none", tier="mid", status="failed", error="upstream_error")
BIG_DOWN = called(backend="big", engine="none", tier="premium", status="failed", error="upstream_error")
ACCEPTED, ESCALATED = "forebay_light_accepted_total", "forebay_escalations_total"


def refused(code: str) -> str:
    """The count of refusals with this code."""
    return at("forebay_refused_total", code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of request; `ends` is the count of requests it adds to, `counts` are its calls and whatever else.

    `tier` is that of the answer. With `hangs_up` the caller leaves once something is held.
    """

    model: str = "auto"
    headers: dict[str, str] = field(default_factory=lambda: TO_LIGHT)
    programs: dict[str, Behaviour] = field(default_factory=dict)
    stream: bool = False
    hangs_up: bool = False
    decided: bool = True
    tier: str
    ends: str
    counts: tuple[str, ...]

    def adds(self) -> dict[str, float]:
        """What it adds to each count."""
        found = Counter([self.ends, at("forebay_request_seconds_count", tier=self.tier), *self.counts])
        found["forebay_decision_seconds_count"] += self.decided
        if self.stream and self.tier != "none":
            found[at("forebay_time_to_first_token_seconds_count", tier=self.tier)] += 1
        return {name: float(count) for name, count in found.items() if count}


_LIGHT = ended(tier="light", reason="task_policy", task="faq")
_MID_AFTER_DOUBT = ended(tier="mid", reason="low_confidence", task="faq")
_NOBODY = partial(ended, tier="none", reason="none", task="faq")

KINDS = {
    "light": Kind(tier="light", ends=_LIGHT, counts=(LIGHT_CALL, ACCEPTED)),
    "light-stream": Kind(stream=True, tier="light", ends=_LIGHT, counts=(LIGHT_CALL, ACCEPTED)),
    "pinned": Kind(
        model="local",
        tier="light",
        ends=ended(tier="light", reason="pinned", task="faq"),
        counts=(LIGHT_CALL, ACCEPTED),
    ),
    "made-up-task": Kind(
        headers={"x-forebay-task": "a-task-that-nobody-knows"},
        tier="light",
        ends=ended(tier="light", reason="low_complexity", task="other"),
        counts=(LIGHT_CALL, ACCEPTED),
    ),
    "mid": Kind(
        headers=TO_MID, tier="mid", ends=ended(tier="mid", reason="task_policy", task="summary"), counts=(MID_CALL,)
    ),
    "premium-stream": Kind(
        headers=TO_PREMIUM,
        stream=True,
        tier="premium",
        ends=ended(tier="premium", reason="task_policy", task="reasoning"),
        counts=(BIG_CALL,),
    ),
    "escalated": Kind(
        programs={LIGHT: DOUBTFUL},
        tier="mid",
        ends=_MID_AFTER_DOUBT,
        counts=(LIGHT_LOST, MID_CALL, ESCALATED),
    ),
    "escalated-stream": Kind(
        programs={LIGHT: DOUBTFUL},
        stream=True,
        tier="mid",
        ends=_MID_AFTER_DOUBT,
        counts=(LIGHT_LOST, MID_CALL, ESCALATED),
    ),
    "escalation-fails": Kind(
        programs={LIGHT: DOUBTFUL, "mid": DOWN, "premium": DOWN},
        tier="light",
        ends=_LIGHT,
        counts=(LIGHT_CALL, MID_DOWN, BIG_DOWN, ESCALATED),
    ),
    "escalation-forbidden": Kind(
        headers={**TO_LIGHT, "x-forebay-no-escalation": "true"},
        programs={LIGHT: DOUBTFUL},
        tier="light",
        ends=_LIGHT,
        counts=(LIGHT_CALL,),
    ),
    "falls-back": Kind(
        headers=TO_MID,
        programs={"mid": DOWN},
        tier="premium",
        ends=ended(tier="premium", reason="upstream_error", task="summary"),
        counts=(MID_DOWN, BIG_CALL),
    ),
    "refused-by-all": Kind(
        model="mini",
        programs={"mid": DOWN},
        tier="none",
        ends=_NOBODY(status="refused"),
        counts=(MID_DOWN, refused("upstream_error")),
    ),
    "no-such-model": Kind(
        model="gpt-9",
        decided=False,
        tier="none",
        ends=_NOBODY(status="refused", task="none"),
        counts=(refused("model_not_found"),),
    ),
    "breaks-off": Kind(
        stream=True,
        programs={LIGHT: Says(text=LONG, ends="close", after=40)},
        tier="light",
        ends=ended(tier="light", reason="task_policy", task="faq", status="interrupted"),
        counts=(called(backend="local", engine="small", tier="light", status="interrupted", error="upstream_error"),),
    ),
    "hung-up-on": Kind(
        hangs_up=True,
        programs={LIGHT: HELD_ANSWER},
        tier="none",
        ends=_NOBODY(status="cancelled"),
        counts=(called(backend="local", engine="small", tier="light", status="cancelled"),),
    ),
    "hung-up-on-in-a-stream": Kind(
        stream=True,
        hangs_up=True,
        programs={LIGHT: HELD_STREAM},
        tier="light",
        ends=ended(tier="light", reason="task_policy", task="faq", status="cancelled"),
        counts=(called(backend="local", engine="small", tier="light", status="cancelled"),),
    ),
}
