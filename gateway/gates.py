"""How the gate of an engine stands, and by what it decided lately, as metrics and people see it. None is unknown."""

from msgspec import Struct

from gateway.types import GateState


class GateDecision(Struct, frozen=True, kw_only=True):
    """What became of one request at an engine's gate, with every term that it was chosen by.

    `at` are Unix seconds, durations are seconds, `promised_*` are the objectives. `first_s` and `gap_s` are forecasts
    from the decision on: `work` prompt tokens were to be read before its first token, `slot_s` to be waited for a slot;
    the oldest request without a first token was over its forecast by the factor `delay`. `band` is the ratio of
    observed to foretold that nine in ten stay below. `late` is the chance that the first token is, which `strictness`
    multiplies, and `slow` that the time between tokens is longer than promised, which `gap_strictness` does;
    `harm_nano` is what those under way were expected to lose by it. `slots` are those of its class, `ceiling` what
    health allowed. `observed_*` came of it, as far as it is known; `observed_first_s` is from its arrival on. Where it
    was evicted, because the engine stood still, the forecasts are those by which it was let in.
    """

    at: float
    outcome: str
    priority: str
    waited_s: float
    prompt: int
    work: int
    guess: bool
    first_s: float
    gap_s: float
    slot_s: float
    delay: float
    band: float
    late: float
    slow: float
    strictness: float
    gap_strictness: float
    free: bool
    in_use: int
    slots: int
    ceiling: int
    harm_nano: float
    here_nano: float
    elsewhere_nano: float | None
    promised_first_s: float | None
    promised_gap_s: float | None
    observed_first_s: float | None = None
    observed_gap_s: float | None = None


class GateReport(Struct, frozen=True, kw_only=True):
    """One engine. `prompt_rate` are prompt tokens per second, None before any was seen; `reach` the most that were seen
    at once; `backlog` those that are to be read. `band`, `strictness` and `gap_strictness` are as in a decision;
    `hold_s` is how long a slot is usually held. `beside` is the share of the rate that is left beside few streams,
    `crowd` beside many, and `overtaken` how far shorter prompts overtake longer ones, from 0 to 1. `speed` is that of
    its GPUs, `cadence` that of its tokens as a share of the usual one. `fenced`: it stands still. `counts` are
    decisions by outcome.
    """

    state: GateState
    prompt_rate: float | None
    reach: float
    backlog: int
    running: int
    gap_s: float
    band: float
    strictness: float
    gap_strictness: float
    hold_s: float
    fenced: bool
    speed: float
    cadence: float
    beside: float
    crowd: float
    overtaken: float
    counts: dict[str, int]
    decisions: tuple[GateDecision, ...]
    """The last ones, oldest first."""
