"""Listening addresses and URLs, as far as rules ask about them."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct

HIGHEST_PORT = 65_535


class Address(Struct, frozen=True):
    """A host, without the brackets of IPv6, and a port; 0 lets the system choose one."""

    host: str
    port: int


def listen_address(text: str) -> Address:
    """The parts of `host:port`, which the schema has already held against its pattern."""
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def url_host(url: str) -> str:
    """The host of an http(s) address, without the brackets of IPv6; empty where there is none to be made out."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def url_port(url: str) -> int | None:
    """The port an address names, None where it names none. One that no port can be is -1."""
    try:
        return urlsplit(url).port
    except ValueError:
        return -1


def loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this box. A name other than `localhost` is not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def wildcard(host: str) -> bool:
    """Whether listening on `host` means every address of the box."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
