"""Where data goes: the region and the box of each backend, and what a list of regions and groups stands for."""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from gateway.config.addresses import loopback, url_host
from gateway.config.schema import Backend, Config, Engine, Tenant

UNKNOWN_REGION = "unknown"
"""The region of a provider that names none. No list of regions contains it, so only `any` admits it."""


class Site(Struct, frozen=True):
    """Where a backend works. `on_box`: what is sent to it never leaves this machine."""

    region: str
    on_box: bool


def engine_on_box(engine: Engine) -> bool:
    """Whether an engine runs on this box: because it is started here, says so, or has loopback addresses only."""
    if engine.kind != "attached":
        return True
    if engine.on_box is not None:
        return engine.on_box
    return bool(engine.urls) and all(loopback(url_host(url)) for url in engine.urls)


def site(config: Config, backend: Backend) -> Site | None:
    """Where a backend works; None where it names no engine there is, nor a provider."""
    if backend.engine is not None:
        return engine_site(config, backend.engine) if backend.engine in config.engines else None
    return None if backend.provider is None else Site(backend.region or UNKNOWN_REGION, on_box=False)


def engine_site(config: Config, name: str) -> Site:
    """Where an engine works."""
    engine = config.engines[name]
    on_box = engine_on_box(engine)
    return Site(config.server.region if on_box else engine.region or UNKNOWN_REGION, on_box)


def sites(config: Config) -> dict[str, Site]:
    """The site of each backend, by name. Complete for a configuration that passed the rules."""
    found = {name: site(config, backend) for name, backend in config.backends.items()}
    return {name: place for name, place in found.items() if place is not None}


def expanded(config: Config, regions: Iterable[str]) -> frozenset[str]:
    """Single regions, with the members of a group in place of its name."""
    return frozenset(member for name in regions for member in config.regions.get(name, (name,)))


def default_regions(config: Config) -> frozenset[str] | None:
    """Where data may go unless a tenant says otherwise; None is anywhere.

    With nothing said it stays in the server's region.
    """
    said = config.policy.default_regions
    return frozenset({config.server.region}) if said is None else _allowed(config, said)


def tenant_regions(config: Config, tenant: Tenant) -> frozenset[str] | None:
    """Where a tenant's data may go; None is anywhere."""
    return default_regions(config) if tenant.regions is None else _allowed(config, tenant.regions)


def eligible(places: Mapping[str, Site], regions: frozenset[str] | None, *, local_only: bool) -> tuple[str, ...]:
    """The backends that may see data so bound, in the order of `places`."""
    return tuple(
        name
        for name, place in places.items()
        if (regions is None or place.region in regions) and (place.on_box or not local_only)
    )


def _allowed(config: Config, regions: Literal["any"] | tuple[str, ...]) -> frozenset[str] | None:
    return None if regions == "any" else expanded(config, regions)
