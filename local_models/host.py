"""The engine host: `python -m local_models.host --home DIR`. Owns the engines, so that a gateway may come and go.

One per home, by a lock. It serves clients over a unix socket (`protocol`) and ends when nobody needs it:

    last client gone without `bye`        engines stay for the linger time: a restarted gateway finds them running
    last client gone, asked to keep       they stay until somebody stops them
    last client said `bye`, or no engine  at once
    SIGTERM, SIGINT                       at once, exit code 0

Exit codes: 0, 1 with one line on stderr, and 5 when another host of this home is at work.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import httpx

from local_models.daemon import become_daemon
from local_models.endpoint import (
    host_log_path,
    listen,
    lock_path,
    prepare_run_folder,
    roster_path,
)
from local_models.errors import HostError
from local_models.filelock import try_lock
from local_models.fleet import Fleet, Launchers
from local_models.llama_cpp import LlamaCpp
from local_models.protocol import HOST_BUSY, LINE_LIMIT
from local_models.reception import Reception
from local_models.roster import Roster, reconcile
from local_models.supervisor import Surroundings
from local_models.trust import client_context
from local_models.vllm import Vllm

_LINGER_S: Final = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a host is to run."""

    home: Path
    linger: float
    """Seconds for which engines are kept for a client that vanished."""
    launchers: Launchers


def main(argv: Sequence[str] | None = None, launchers: Launchers | None = None) -> int:
    """Run a host until nobody needs it; its exit code. `launchers` replaces the engines that it can launch."""
    parser = argparse.ArgumentParser(prog="python -m local_models.host", description="Runs engines for Forebay.")
    parser.add_argument("--home", required=True, type=Path, help="Forebay's data folder")
    parser.add_argument("--linger", type=float, default=_LINGER_S, help="seconds to wait for a lost client")
    parser.add_argument("--detach", action="store_true", help="return once the host listens, in the background")
    options = parser.parse_args(argv)
    ours: Launchers = MappingProxyType({"llama_cpp": LlamaCpp(), "vllm": Vllm()})
    kinds = ours if launchers is None else launchers
    settings = Settings(options.home.absolute(), options.linger, kinds)
    if options.detach:
        return become_daemon(lambda ready: _run(settings, ready), host_log_path(settings.home))
    return _run(settings, lambda: None)


def _run(settings: Settings, ready: Callable[[], None]) -> int:
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        prepare_run_folder(settings.home)
        lock = try_lock(lock_path(settings.home))
        if lock is None:
            sys.stderr.write(f"forebay engine host: another one is at work for {settings.home}\n")
            return HOST_BUSY
        try:
            asyncio.run(_host(settings, ready))
        finally:
            os.close(lock)
    except (OSError, HostError) as error:
        sys.stderr.write(f"forebay engine host: {error}\n")
        return 1
    return 0


async def _host(settings: Settings, ready: Callable[[], None]) -> None:
    for line in await reconcile(roster_path(settings.home)):
        _log.warning(line)
    changed = asyncio.Event()
    end_asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end_asked.set)
    listener, socket_path = listen(settings.home)
    # Loopback and addresses from the configuration: a proxy from the environment has no business in between.
    async with httpx.AsyncClient(trust_env=False, verify=client_context()) as http, asyncio.TaskGroup() as tasks:
        around = Surroundings(http, settings.home / "logs", Roster(roster_path(settings.home)), changed.set)
        fleet = Fleet(settings.launchers, around, tasks)
        reception = Reception(fleet, settings.linger, changed, os.getpid())
        server = await asyncio.start_unix_server(reception.serve, sock=listener, limit=LINE_LIMIT)
        pushing = tasks.create_task(reception.push())
        ready()
        _log.info("engine host %d listens on %s", os.getpid(), socket_path)
        await _first(end_asked.wait(), reception.unneeded())
        # First out of sight, then stop: a gateway that comes now waits for the lock and begins a host of its own.
        socket_path.unlink(missing_ok=True)
        server.close()
        await fleet.close()
        pushing.cancel()
        reception.close()
    _log.info("engine host %d has stopped its engines and ends", os.getpid())


async def _first(*waits: Coroutine[None, None, object]) -> None:
    """Return when the first of them does; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


if __name__ == "__main__":
    sys.exit(main())
