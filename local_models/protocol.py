"""What is said over the engine host's socket: one JSON object per line, both ways.

    client                          host
    hello                 ►
                          ◄         welcome | refused
    ensure                ►         start, keep or stop engines until just these run
                          ◄         snapshots, ensured
                          ◄         snapshots: at each change, and each second
    in_flight             ►         each second while there are any, and once when there are none
    stop                  ►
                          ◄         stopped
    bye                   ►         nobody needs to wait for this client to come back

`hello`, `welcome`, `stop`, `stopped` and `bye` keep their shape in every version, so that a client can always end
a host whose version it does not share.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct

from local_models.errors import HostError
from local_models.types import EngineSnapshot, EngineSpec

VERSION: Final = 5
LINE_LIMIT: Final = 1 << 20
HOST_BUSY: Final = 5
"""Exit code of a host that finds another one at work for its home."""


class Hello(Struct, frozen=True, tag="hello"):
    """First line of a client."""

    version: int


class Ensure(Struct, frozen=True, tag="ensure"):
    """Exactly these engines are wanted. With `keep` they stay when no client is left, else for the linger time."""

    specs: tuple[EngineSpec, ...]
    keep: bool


class Stop(Struct, frozen=True, tag="stop"):
    """These engines, or all of them, are not wanted any more."""

    names: tuple[str, ...] | Literal["all"]


class InFlight(Struct, frozen=True, tag="in_flight"):
    """How many requests this client has sent to each engine that are not answered yet, by its own count."""

    engines: dict[str, int]


class Bye(Struct, frozen=True, tag="bye"):
    """The client leaves for good."""


class Welcome(Struct, frozen=True, tag="welcome"):
    """First line of the host."""

    version: int
    pid: int


class Refused(Struct, frozen=True, tag="refused"):
    """The host cannot do what was asked and closes the connection."""

    reason: str


class Snapshots(Struct, frozen=True, tag="snapshots"):
    """All engines at present."""

    engines: tuple[EngineSnapshot, ...]


class Ensured(Struct, frozen=True, tag="ensured"):
    """The last `ensure` has been carried out: engines not wanted are gone, the others launched."""


class Stopped(Struct, frozen=True, tag="stopped"):
    """The last `stop` has been carried out."""


FromClient = Hello | Ensure | InFlight | Stop | Bye
FromHost = Welcome | Refused | Snapshots | Ensured | Stopped

_CLIENT_LINES: Final[msgspec.json.Decoder[FromClient]] = msgspec.json.Decoder(FromClient)
_HOST_LINES: Final[msgspec.json.Decoder[FromHost]] = msgspec.json.Decoder(FromHost)


def encode(message: FromClient | FromHost) -> bytes:
    """One line."""
    return msgspec.json.encode(message) + b"\n"


def decode_from_client(line: bytes) -> FromClient:
    """Raises HostError for anything else."""
    try:
        return _CLIENT_LINES.decode(line)
    except msgspec.DecodeError as error:
        raise HostError(f"not understood: {error}") from error


def decode_from_host(line: bytes) -> FromHost:
    """Raises HostError for anything else, an empty line (the connection has ended) included."""
    try:
        return _HOST_LINES.decode(line)
    except msgspec.DecodeError as error:
        raise HostError("the engine host has gone" if not line else f"not understood: {error}") from error
