"""The data folder: writable, with room, and a ledger that is sound."""

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from gateway.cli.doctor.finding import Finding, broken, note, ok, warning
from gateway.cli.modellist import size
from gateway.ledger import LedgerReader, LedgerUnusable

_LITTLE = 1_000_000_000


class Facts(Struct, frozen=True, kw_only=True):
    """`ledger`: whether there is one; `newest`: when its last request began, Unix time; `fault`: what is wrong."""

    home: Path
    writable: bool
    free: int
    ledger: bool = False
    newest: float | None = None
    fault: str | None = None


def gather(home: Path, *, thorough: bool) -> Facts:
    """Look, and leave everything as it is; `thorough` reads the whole ledger."""
    there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    path = home / "ledger.sqlite"
    newest, fault = None, None
    try:
        with LedgerReader.reading(path) as ledger:
            if ledger is not None:
                newest = ledger.newest_time()
                fault = ledger.fault() if thorough else None
    except LedgerUnusable as error:
        fault = str(error)
    return Facts(
        home=home,
        writable=there.is_dir() and os.access(there, os.W_OK | os.X_OK),
        free=shutil.disk_usage(there).free,
        ledger=path.exists(),
        newest=newest,
        fault=fault,
    )


def findings(facts: Facts) -> Iterator[Finding]:
    """What is in the way of keeping anything."""
    if not facts.writable:
        yield broken(
            "disk",
            f"nothing can be written to {facts.home}",
            "set FOREBAY_HOME to a folder of this user, or give it one",
        )
    elif facts.free < _LITTLE:
        room = f"there are {size(facts.free)} left under {facts.home}"
        yield warning("disk", room, "make room, or set FOREBAY_HOME to a larger disk")
    else:
        yield ok("disk", f"{facts.home}: {size(facts.free)} left")
    if facts.fault is not None:
        there, away = (shlex.quote(f"{facts.home}/{name}") for name in ("ledger.sqlite", "broken-ledger"))
        # With its side files: those of another ledger would be taken for the new one's.
        command = f"`mkdir -p {away} && mv {there}* {away}/`"
        away = f"{command} while no gateway runs; a new one is begun, and usage counts from there"
        yield broken("ledger", facts.fault, away)
    elif facts.ledger:
        yield ok("ledger", "the ledger can be read")
    else:
        yield note("ledger", "there is no ledger yet; `forebay serve` writes it")
