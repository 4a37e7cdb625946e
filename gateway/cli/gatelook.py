"""What the gate of a gateway at work says of its engines and its last decisions."""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console

from gateway.config.addresses import listen_address
from gateway.config.schema import Config
from gateway.gates import GateDecision
from gateway.prices import NANO

_ASK_S: Final = 2.0
_SHOWN: Final = 8


class GateLook(Struct, frozen=True, kw_only=True):
    """One engine, as `/admin/gate` tells of it; see `gates.GateReport`."""

    engine: str
    slots: int
    in_use: int
    waiting: int
    ready: bool
    detail: str
    prompt_rate: float | None
    reach: float
    backlog: int
    gap_s: float
    band: float
    strictness: float
    gap_strictness: float
    hold_s: float
    fenced: bool
    speed: float
    counts: dict[str, int]
    decisions: tuple[GateDecision, ...]


def look(config: Config, engines: Collection[str]) -> tuple[GateLook, ...]:
    """Of these engines; nothing where no gateway of this configuration is at work."""
    address = listen_address(config.server.admin_listen)
    host = f"[{address.host}]" if ":" in address.host else address.host
    if not address.port or not engines:
        return ()
    with suppress(httpx.HTTPError, msgspec.DecodeError):
        answer = httpx.get(f"http://{host}:{address.port}/admin/gate", timeout=_ASK_S, trust_env=False)
        found = msgspec.json.decode(answer.content, type=tuple[GateLook, ...])
        return tuple(each for each in found if each.engine in engines)
    return ()


def show_gates(out: Console, looks: Sequence[GateLook]) -> None:
    """Print how each engine stands, and its last decisions, newest first."""
    for each in looks:
        out.print()
        out.print(_headline(each), style="bold", soft_wrap=True)
        for decision in each.decisions[: -_SHOWN - 1 : -1]:
            out.print(_line(decision), soft_wrap=True, highlight=False)


def _headline(each: GateLook) -> str:
    rate = "its speed is not known yet" if each.prompt_rate is None else f"reads {each.prompt_rate:,.0f} tokens/s"
    state = "stands still" if each.fenced else "takes requests" if each.ready else each.detail
    return (
        f"Gate of {each.engine}: {state}, {each.in_use} of {each.slots} slots in use, {each.waiting} waiting, {rate}, "
        f"{each.backlog} to be read"
    )


def _line(each: GateDecision) -> str:
    """One decision with its terms, in the order in which they are weighed."""
    guess = ", a guess" if each.guess else f", × {each.band:.2f} in nine of ten"
    return (
        f"  {_seconds(time.time() - each.at)} ago {each.outcome}: {each.priority}, {each.prompt} tokens, "
        f"{each.work} to be read; first token foretold {_seconds(each.first_s)}{guess}, promised "
        f"{_seconds(each.promised_first_s)}, observed {_seconds(each.observed_first_s)}; late {100 * each.late:.1f} % "
        f"× {each.strictness:.2f}, slow {100 * each.slow:.1f} % × {each.gap_strictness:.2f}; "
        f"{each.in_use} of {min(each.slots, each.ceiling)} slots in use; "
        f"here {_money(each.here_nano)}, elsewhere {_money(each.elsewhere_nano)}"
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _money(nano: float | None) -> str:
    return "nobody" if nano is None else f"${nano / NANO:.6f}"
