"""A real vLLM outlives its gateway, is brought back from every death, and leaves nothing behind: after all the others,
as each test here costs another start.
"""

import asyncio
import logging
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.e2e.crowd import KINDS, Crowd
from tests.e2e.deaths import death
from tests.e2e.stack import Stack, eventually
from tests.vllm.box import START_S, Box
from tests.vllm.processes import WAYS, guard_of, left_of, log_of, members_of, snapshot_of

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

WITHIN_S = 5.0
BUSY_S = 120.0
FOUND_S = 20.0
GONE_S = 30.0
AGAIN_S = 0.1
SEED = 20261126
_log = logging.getLogger(__name__)


def asks_on(stack: Stack, statuses: list[int]) -> None:
    """One caller, until nobody is there any more. Who is refused, as on a machine that is busy with others, comes
    again.
    """
    pause = threading.Event()
    while True:
        try:
            status = stack.chat("local", max_tokens=24).status_code
        except httpx.TransportError:
            return
        statuses.append(status)
        if status != 200:
            pause.wait(AGAIN_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_the_gateway_under_load_is_none_of_vllm(the_box: Box, number: signal.Signals) -> None:
    """An upgrade, or a crash: the next gateway finds the same process, and answers by it at once."""
    gateway, before = the_box.up(), snapshot_of(the_box.home)
    statuses: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(asks_on, gateway, statuses) for _ in range(8)]
        try:
            eventually(lambda: statuses.count(200) >= 16, ("they are answered", statuses), BUSY_S)
        finally:
            gateway.process.send_signal(number)
            for caller in callers:
                caller.result()
            the_box.start_again()
    eventually(the_box.is_up, "vLLM is found", FOUND_S)
    assert the_box.gateway.chat("local", max_tokens=4).headers["x-forebay-backend"] == "local"
    after = snapshot_of(the_box.home)
    assert (after.pid, after.url, after.restarts) == (before.pid, before.url, before.restarts)


@pytest.mark.parametrize(
    "way",
    ["kill -9 of the API server", "kill -9 of the engine core", "exit code 0", "SIGSTOP of the engine core"],
)
async def test_nobody_hangs_and_it_comes_back(the_box: Box, way: str) -> None:
    """Under fifty streams: who is held or waits is answered elsewhere, who is committed gets an error event, within
    five seconds. It is back without help; of what it was no process is left, and so no memory.
    """
    gateway = the_box.up()
    members = members_of(the_box.home)
    died = await death(
        gateway,
        way.replace(" ", "-"),
        random.Random(SEED),
        lambda: WAYS[way](the_box.home),
        within_s=WITHIN_S,
        back_s=START_S,
    )
    _log.info("%s: %s", way, died)
    assert died.ended["interrupted"] >= 1
    assert died.ended["elsewhere"] >= 20
    assert left_of(members) == [], log_of(the_box.home)[-2000:]


async def test_who_comes_to_a_core_that_hangs_already_is_answered_elsewhere(the_box: Box) -> None:
    """vLLM's gauges say that nothing runs, as after its last step; the gateway knows that somebody waits."""
    gateway, members = the_box.up(), members_of(the_box.home)
    eventually(lambda: gateway.gate("small")["in_use"] == 0, "nobody is there")
    WAYS["SIGSTOP of the engine core"](the_box.home)
    async with Crowd(gateway.base_url, KINDS) as crowd:
        struck = crowd.time()
        crowd.ask("late", ("held whole", "on probation", "may go elsewhere") * 3)
        await asyncio.to_thread(eventually, lambda: snapshot_of(the_box.home).hung, "its hang is known", FOUND_S)
        known = crowd.time() - struck
        await crowd.ended()
    last = max(caller.ended_at for caller in crowd.callers) - struck
    _log.info("known after %.1f s, the last answered after %.1f s", known, last)
    assert {caller.events.response.headers["x-forebay-backend"] for caller in crowd.callers} == {"mini"}
    the_box.up()
    assert left_of(members) == [], log_of(the_box.home)[-2000:]


def test_kill_9_of_the_host_leaves_nothing_behind(gateway: Stack) -> None:
    """No signal of a parent's death reaches vLLM's children; the guard ends them, and another host begins another."""
    members, host = members_of(gateway.home), psutil.Process(guard_of(gateway.home)).parent()
    assert host is not None
    os.kill(host.pid, signal.SIGKILL)
    eventually(lambda: left_of(members) == [], "nothing of it is left", GONE_S)
    eventually(lambda: gateway.gate("small")["detail"].startswith("starting"), "another has been begun", GONE_S)
