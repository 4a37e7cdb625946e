"""GPUs of a gateway that serves: what the driver tells goes to the gate, to the metrics, and to `forebay doctor`."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.configs import SECRETS, three_tiers
from tests.e2e.stack import COMMAND, Stack, eventually, running
from tests.faults.handle import FaultServer
from tests.local_models.nvml import H200, install_driver, play


def seen(stack: Stack) -> dict[str, Any]:
    """What the gate has been told of the GPUs."""
    found: dict[str, Any] = stack.http.get(f"{stack.admin}/admin/gpus").json()
    return found


def said(stack: Stack, environ: dict[str, str], config: dict[str, Any], folder: Path) -> list[str]:
    """What `forebay doctor` says of the GPUs beside it."""
    file = folder / "beside.yaml"
    listens = {"listen": stack.url.rpartition("/")[2], "admin_listen": stack.admin.rpartition("/")[2]}
    file.write_text(json.dumps({**config, "server": {**config.get("server", {}), **listens}}))
    words = [str(COMMAND), "doctor", "--quick", "--json", "--config", str(file)]
    environment = {**os.environ, **environ, "FOREBAY_HOME": str(stack.home)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=100)
    return [each["what"] for each in json.loads(done.stdout)["findings"] if each["check"] == "gpu"]


@pytest.mark.timeout(240)
def test_a_gateway_follows_its_gpus_and_outlives_their_driver(faults: FaultServer, tmp_path: Path) -> None:
    """Hot; struck by an XID, which doctor learns of from the gateway; then its driver crashes, and nothing else."""
    environ = {**SECRETS, **install_driver(tmp_path)}
    play(tmp_path, H200)
    config = dict(three_tiers(faults))
    with running(config, environ) as stack:
        eventually(lambda: [gpu["health"] for gpu in seen(stack)["gpus"]] == ["good"], "it is seen")
        play(tmp_path, {**H200, "clock_reasons": "0x20", "sm_clock": 990})
        eventually(lambda: [gpu["speed"] for gpu in seen(stack)["gpus"]] == [0.5], "it is slowed")
        play(tmp_path, H200, event0="0 79")
        eventually(lambda: stack.metric("forebay_gpu_xid_total", gpu="0", xid="79") == 1, "the XID is counted")
        play(tmp_path, H200)
        assert any("XID 79" in what for what in said(stack, environ, config, tmp_path))
        play(tmp_path, {**H200, "temperature": "crash"})
        eventually(lambda: "signal 11" in seen(stack)["reason"], "the driver's end is seen")
        assert stack.metric("forebay_gpu_driver_up") == 0
        assert stack.chat("light").status_code == 200
