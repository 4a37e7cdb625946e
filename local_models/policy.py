"""How patient to be with an engine process; each kind has its own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient to be with an engine. Durations in seconds."""

    start_limit: float = 120.0
    """From launch to UP."""
    fence_after: int = 3
    """Health checks failed in a row after which no more requests are given to it."""
    answer_limit: float = 1.5
    """How long it may take to say how it is. Three times, and the pauses, until a hang is known."""
    stall_limit: float | None = None
    """Fenced when requests are running and no step was made of any for this long; after half of it a canary is sent,
    which moves whoever only has nothing to do. None for an engine whose steps may take longer.
    """
    quiet_limit: float = 30.0
    """Without a step for this long although nothing seems to run: a canary is sent, and is work for it."""
    hang_limit: float = 30.0
    """How long it may stay fenced before it is ended and launched again."""
    grace: float = 10.0
    """Between SIGTERM and SIGKILL."""
    backoff_first: float = 0.5
    backoff_limit: float = 10.0
    stable_after: float = 60.0
    """Up for this long, the next crash starts from the first back-off again."""
    crash_limit: int = 5
    crash_window: float = 120.0
    quarantine_first: float = 10.0
    """After this it is tried again, unless the model file is bad. Each further quarantine takes twice as long if it
    was never up in between: whoever comes up each time can work, and is not to be missed for longer than this."""
    quarantine_limit: float = 600.0
    room_wait: float = 5.0
    """After this it is looked again whether there is room for it."""
    bad_model_exits: frozenset[int] = frozenset()
    """Exit codes that say the model file cannot be served: trying again is pointless."""
