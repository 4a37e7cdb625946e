"""The addresses to listen on: free, and this box's."""

import errno
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from gateway.cli.doctor.finding import Finding, broken, note, ok
from gateway.config.addresses import HIGHEST_PORT, Address, listen_address
from gateway.config.schema import Config
from local_models.listeners import Listener, listener

_LONGEST_COMMAND = 100


class PortFacts(Struct, frozen=True, kw_only=True):
    """One address. `fault` is the error of listening there, 0 for none; `free` the next port that is."""

    key: str
    place: str
    host: str
    fault: int = 0
    holder: Listener | None = None
    free: int | None = None

    @property
    def ours(self) -> bool:
        """Whether `forebay serve` has it already."""
        words = () if self.holder is None else self.holder.command
        return "serve" in words and any(Path(word).name == "forebay" for word in words[:2])


def gather(config: Config) -> tuple[PortFacts, ...]:
    """Try to have both, and let go of them."""
    server = config.server
    return tuple(_try(f"server.{key}", getattr(server, key)) for key in ("listen", "admin_listen"))


def findings(facts: tuple[PortFacts, ...]) -> Iterator[Finding]:
    """Which cannot be had."""
    for each in facts:
        if each.fault == 0:
            yield ok("port", f"{each.place} is free ({each.key})")
        elif each.ours and each.holder is not None:
            yield note("port", f"{each.place} is a running `forebay serve`'s, process {each.holder.pid} ({each.key})")
        else:
            yield broken("port", f"{each.place} cannot be listened on: {os.strerror(each.fault)}", _advice(each))


def _advice(facts: PortFacts) -> str:
    host = f"[{facts.host}]" if ":" in facts.host else facts.host
    other = f"another port into {facts.key}" if facts.free is None else f"{facts.key}: {host}:{facts.free}"
    if facts.fault == errno.EADDRINUSE:
        if facts.holder is None:
            return f"set {other} in the configuration, or stop what listens there"
        command = shlex.join(facts.holder.command)
        short = command if len(command) <= _LONGEST_COMMAND else f"{command[:_LONGEST_COMMAND]}…"
        return f"`kill {facts.holder.pid}` ends what listens there ({short}); or set {other} in the configuration"
    if facts.fault == errno.EACCES:
        return f"set {other} in the configuration: ports below 1024 are for root"
    return f"set an address of this box in {facts.key}: 127.0.0.1, or 0.0.0.0 for all of them"


def _try(key: str, place: str) -> PortFacts:
    address = listen_address(place)
    fault = _fault(address)
    if fault == 0:
        return PortFacts(key=key, place=place, host=address.host)
    holder = listener(address.port) if fault == errno.EADDRINUSE else None
    return PortFacts(key=key, place=place, host=address.host, fault=fault, holder=holder, free=_free(address))


def _free(address: Address) -> int | None:
    begin = max(address.port + 1, 1024)
    ports = range(begin, min(begin + 100, HIGHEST_PORT))
    return next((port for port in ports if _fault(Address(address.host, port)) == 0), None)


def _fault(address: Address) -> int:
    """The error of listening there, as `serve` does; 0 where it can be."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        try:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((address.host, address.port))
            trial.listen()
        except OSError as error:
            return error.errno or errno.EADDRNOTAVAIL
    return 0
