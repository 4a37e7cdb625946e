"""The gate of a gateway that serves: what it has learnt outlives it, and what it decided is explained."""

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.configs import LIGHT, SECRETS, TO_LIGHT, Config, three_tiers
from tests.e2e.stack import COMMAND, Stack, eventually, started
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer


def explained(stack: Stack, config: Config, *words: str) -> str:
    """What `forebay explain` says beside the gateway."""
    file = stack.home / "beside.yaml"
    listens = {"listen": stack.url.rpartition("/")[2], "admin_listen": stack.admin.rpartition("/")[2]}
    file.write_text(json.dumps({**config, "server": {**config.get("server", {}), **listens}}))
    environment = {**os.environ, **SECRETS, "FOREBAY_HOME": str(stack.home)}
    command = [str(COMMAND), "explain", "What are your opening hours?", "--config", str(file), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_learned_rates_survive_a_restart(home: Path, faults: FaultServer) -> None:
    """The first tokens of a slow engine are remembered by the next gateway of this home, before anybody has asked."""
    config = three_tiers(faults)
    faults.always(LIGHT, Says(text="slowly", bytes_per_s=1_000))
    with started(home, config, SECRETS) as stack:
        stack.listening().ready("light")
        assert stack.gate("small")["prompt_rate"] is None
        stack.events(headers=TO_LIGHT)
        eventually(lambda: stack.gate("small")["prompt_rate"] is not None, "its first token has told")
        learnt = {name: stack.gate("small")[name] for name in ("prompt_rate", "reach", "band")}
        decision = stack.gate("small")["decisions"][-1]
        assert decision["outcome"] == "admit"
        assert decision["observed_first_s"] > 0.05
        (gate,) = json.loads(explained(stack, config, "--json"))["gates"]
        assert (gate["engine"], gate["decisions"][-1]) == ("small", decision)
        said = explained(stack, config)
        assert "Gate of small: takes requests, 0 of 64 slots in use" in said
        assert "ago admit: normal" in said
    assert learnt["prompt_rate"] < 10_000
    with started(home, config, SECRETS) as stack:
        stack.listening().ready("light")
        assert {name: stack.gate("small")[name] for name in learnt} == learnt
