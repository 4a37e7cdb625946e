"""The gate of a gateway that serves: what it has learnt outlives it."""

from pathlib import Path

from tests.e2e.configs import LIGHT, SECRETS, TO_LIGHT, three_tiers
from tests.e2e.stack import eventually, started
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer


def test_learned_rates_survive_a_restart(home: Path, faults: FaultServer) -> None:
    """The first tokens of a slow engine are remembered by the next gateway of this home, before anybody has asked."""
    faults.always(LIGHT, Says(text="slowly", bytes_per_s=1_000))
    with started(home, three_tiers(faults), SECRETS) as stack:
        stack.listening().ready("light")
        assert stack.gate("small")["prompt_rate"] is None
        stack.events(headers=TO_LIGHT)
        eventually(lambda: stack.gate("small")["prompt_rate"] is not None, "its first token has told")
        learnt = {name: stack.gate("small")[name] for name in ("prompt_rate", "reach", "band")}
        decision = stack.gate("small")["decisions"][-1]
        assert decision["outcome"] == "admit"
        assert decision["observed_first_s"] > 0.05
    assert learnt["prompt_rate"] < 10_000
    with started(home, three_tiers(faults), SECRETS) as stack:
        stack.listening().ready("light")
        assert {name: stack.gate("small")[name] for name in learnt} == learnt
