"""What somebody who runs a gateway sees of it at a terminal: `forebay logs --follow` and `forebay usage`."""

import json
import os
import subprocess
from decimal import Decimal
from typing import Any

from tests.architecture.source import ROOT
from tests.e2e.configs import three_tiers
from tests.e2e.stack import COMMAND, Lines, Stack, running
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer


def environ(stack: Stack) -> dict[str, str]:
    """Of a command that looks at this gateway's home."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "FOREBAY_HOME": str(stack.home)}


def usage(stack: Stack, *arguments: str) -> dict[str, Any]:
    """`forebay usage --json`, money as it stands there."""
    command = (str(COMMAND), "usage", "--json", *arguments)
    done = subprocess.run(command, env=environ(stack), capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
    return found


def line_of(lines: Lines, request_id: str) -> str:
    """The line of a request, once it is there."""
    line = lines.wait(lambda line: line.endswith(request_id))
    assert line is not None, lines.all()
    return line


def test_requests_are_seen_as_they_come_and_add_up(faults: FaultServer) -> None:
    """While the gateway serves: a line per request with what its headers said, and sums to the last nano-dollar."""
    faults.next("smollm2-135m-instruct", Says(logprob=-9.0))
    with running(three_tiers(faults), {"BIG_KEY": "k"}) as stack:
        stack.ready()
        command = (str(COMMAND), "logs", "--follow")
        with subprocess.Popen(
            command, env=environ(stack), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as follower:
            try:
                assert follower.stdout is not None
                lines = Lines(follower.stdout)
                answers = [stack.chat(model, headers={"x-forebay-task": "faq"}) for model in ("light", "premium")]
                refused = stack.chat("no-such-model")
                for answer in answers:
                    told = answer.headers
                    line = line_of(lines, told["x-request-id"])
                    for part in ("200 ok", f"{told['x-forebay-tier']}/{told['x-forebay-backend']}", "task=faq"):
                        assert part in line
                    assert f"${told['x-forebay-cost-usd']} " in line
                assert lines.wait(lambda line: "404 refused" in line and "asked=no-such-model" in line)
            finally:
                follower.kill()
        sums = usage(stack, "--by", "task,tier")
        assert refused.status_code == 404
        assert (sums["total"]["requests"], sums["total"]["not_ok"]) == (3, 1)
        assert sums["total"]["cost_usd"] == sum(Decimal(each.headers["x-forebay-cost-usd"]) for each in answers)
        assert sum(group["cost_nano_usd"] for group in sums["groups"]) == sums["total"]["cost_nano_usd"]
        assert sums["total"]["calls"] == len(faults.settled())
