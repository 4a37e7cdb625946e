"""What a configuration means: engines, backends, tiers, tenants, and the policy in words."""

from decimal import Decimal

from msgspec import Struct

from gateway.cli.lengths import lengths
from gateway.config.addresses import listen_address, loopback
from gateway.config.schema import Config, Engine, Server, Tenant
from gateway.config.sites import default_regions, eligible, engine_on_box, site, sites, tenant_regions
from gateway.config.vectors import embedders, gives_vectors
from gateway.types import TIERS, Tier


class EngineLine(Struct, frozen=True, kw_only=True):
    """One engine. `slots` are requests at a time, `context` is in tokens per request."""

    name: str
    kind: str
    model: str | None
    region: str
    on_box: bool
    slots: int
    context: int


class BackendLine(Struct, frozen=True, kw_only=True):
    """One backend. Prices are US dollars per million tokens; `tier` is None where it is in none. `vectors` are all that
    it gives, or text is.
    """

    name: str
    tier: Tier | None
    vectors: bool
    model: str | None
    via: str
    region: str
    on_box: bool
    input: Decimal
    output: Decimal
    cached: Decimal


class TenantLine(Struct, frozen=True, kw_only=True):
    """One tenant. `regions` None is anywhere; `backends` are those that may see its data."""

    name: str
    sla_class: str | None
    regions: tuple[str, ...] | None
    local_only: bool
    keys: int
    backends: tuple[str, ...]


class Summary(Struct, frozen=True, kw_only=True):
    """A whole configuration, as `forebay check` prints it."""

    engines: tuple[EngineLine, ...]
    backends: tuple[BackendLine, ...]
    tiers: dict[str, tuple[str, ...]]
    aliases: dict[str, str]
    tenants: tuple[TenantLine, ...]
    policy: tuple[str, ...]


def summarised(config: Config) -> Summary:
    """What a valid configuration means."""
    return Summary(
        engines=_engines(config),
        backends=tuple(_backend(config, name) for name in config.backends),
        tiers={tier.value: _names(config, tier) for tier in TIERS},
        aliases=dict(config.aliases),
        tenants=tuple(_tenant(config, name, tenant) for name, tenant in config.tenants.items()),
        policy=(_residency(config), _escalation(config), *lengths(config), *_names_asked_for(config), *_access(config)),
    )


def dollars(amount: Decimal) -> str:
    """An amount with two decimals, or as many more as it has."""
    decimals = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"{amount:.{decimals}f}"


def _engines(config: Config) -> tuple[EngineLine, ...]:
    return tuple(
        EngineLine(
            name=name,
            kind=engine.kind,
            model=engine.model,
            region=config.server.region if engine_on_box(engine) else engine.region or "",
            on_box=engine_on_box(engine),
            slots=engine.parallel,
            context=engine.context,
        )
        for name, engine in config.engines.items()
    )


def _backend(config: Config, name: str) -> BackendLine:
    backend = config.backends[name]
    place = site(config, backend)
    assert place is not None
    engine = config.engines.get(backend.engine or "")
    price = backend.price
    cost = (price.input, price.output or Decimal(0), price.cached) if price else (Decimal(0), Decimal(0), None)
    return BackendLine(
        name=name,
        tier=next((tier for tier in TIERS if name in _names(config, tier)), None),
        vectors=gives_vectors(config, backend),
        model=backend.model if engine is None else engine.model,
        via=str(backend.provider) if engine is None else f"engine {backend.engine}{_standby(engine)}",
        region=place.region,
        on_box=place.on_box,
        input=cost[0],
        output=cost[1],
        cached=cost[0] if cost[2] is None else cost[2],
    )


def _standby(engine: Engine) -> str:
    return "" if engine.standby is None else f", else {engine.standby}"


def _tenant(config: Config, name: str, tenant: Tenant) -> TenantLine:
    regions = tenant_regions(config, tenant)
    local_only = tenant.local_only or config.policy.local_only
    return TenantLine(
        name=name,
        sla_class=tenant.sla or config.policy.default_class,
        regions=None if regions is None else tuple(sorted(regions)),
        local_only=local_only,
        keys=len(tenant.keys),
        backends=eligible(sites(config), regions, local_only=local_only),
    )


def _residency(config: Config) -> str:
    if config.policy.local_only:
        return "Nothing leaves this box, whoever asks."
    regions = default_regions(config)
    where = "go anywhere" if regions is None else f"go to {', '.join(sorted(regions))}"
    return f"Data may {where}, unless a tenant says otherwise."


def _escalation(config: Config) -> str:
    rules = config.policy.escalation
    paths = {
        "expected_cost": "to the tier that is expected to cost least",
        "next": "to the next tier",
        "premium": "straight to premium",
    }
    return (
        f"A light answer that scores below {config.confidence.threshold:g} goes {paths[rules.path]}: "
        f"at most {rules.max_attempts} calls and ${dollars(rules.max_cost_usd)} a request."
    )


def _names_asked_for(config: Config) -> tuple[str, ...]:
    tiered = {name for tier in TIERS for name in _names(config, tier)}
    given = embedders(config)
    untiered = [name for name in config.backends if name not in tiered and name not in given]
    said = [f"{', '.join(untiered)}: only when asked for by name, being in no tier."] if untiered else []
    if given:
        said.append(f"{', '.join(given)}: vectors, at /v1/embeddings alone.")
    if "*" in config.aliases:
        said.append(f"A model name that nothing here has is taken for {config.aliases['*']}.")
    return tuple(said)


def _access(config: Config) -> tuple[str, ...]:
    keys = sum(len(tenant.keys) for tenant in config.tenants.values())
    if config.auth.mode == "none":
        who = "Everybody who reaches"
    else:
        who = f"Holders of {_counted(keys, 'key')} of {_counted(len(config.tenants), 'tenant')} may ask at"
    ends = " may ask" if config.auth.mode == "none" else ""
    return (
        f"{who} {config.server.listen}{ends}{_in_what(config.server)}.",
        f"Metrics and admin pages are at {config.server.admin_listen}.",
    )


def _in_what(server: Server) -> str:
    if server.tls is not None:
        return ", over https"
    inside = loopback(listen_address(server.listen).host)
    return "" if inside else ", in the clear: set server.tls, or put a TLS proxy in front"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _names(config: Config, tier: Tier) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(config.tiers, tier.value)
    return names
