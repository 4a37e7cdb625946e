"""Residency: somebody has said where data may go, in names that mean something, and somebody may answer everybody."""

from collections.abc import Iterator, Mapping

from gateway.config.findings import Finding, Path, found
from gateway.config.schema import Config
from gateway.config.sites import UNKNOWN_REGION, Site, default_regions, eligible, sites, tenant_regions
from gateway.config.suggest import nearest

_RESERVED = frozenset({"any", UNKNOWN_REGION})


def somebody_says_where_data_may_go(config: Config) -> Iterator[Finding]:
    """Data leaves the server's region because a person decided so, never because a line was missing."""
    if config.policy.default_regions is not None:
        return
    home = config.server.region
    for name, place in sites(config).items():
        if place.region != home:
            message = (
                f"missing key: the backend {name} ({{}}) is outside the server's region ({{}}), so somebody has to say "
                "where data may go; write any, or a list of regions"
            )
            path = ("policy", "default_regions")
            yield found(path, message, place.region, home, depends=_what_places_depend_on(config))
            return


def groups_are_no_regions(config: Config) -> Iterator[Finding]:
    """A name that is both would let data go further than its reader thinks."""
    used = set(_regions_in_use(config))
    for group in config.regions:
        if group in used:
            message = "a backend or the server has this region; a group needs a name of its own"
            yield found(("regions", group), message, depends=_what_places_depend_on(config))


def groups_are_flat(config: Config) -> Iterator[Finding]:
    """Groups hold regions, so that what a name stands for is read in one line."""
    for group, members in config.regions.items():
        for index, member in enumerate(members):
            if member in config.regions:
                yield found(("regions", group, index), "{} is a group; list its regions instead", member)


def groups_have_members(config: Config) -> Iterator[Finding]:
    """Nothing may go to an empty group, and its reader would think something could."""
    for group, members in config.regions.items():
        if not members:
            yield found(("regions", group), "an empty group; list its regions or remove it")


def reserved_names(config: Config) -> Iterator[Finding]:
    """`any` is no region, and what is unknown cannot be allowed by that name."""
    for path, name in _named_regions(config):
        if name in _RESERVED:
            yield found(path, "{} is no name for a region or a group", name)


def regions_exist(config: Config) -> Iterator[Finding]:
    """A misspelt region admits nothing: names match exactly, never by prefix."""
    known = _known(config)
    for path, name in _allowances(config):
        if name not in known and name not in _RESERVED:
            message = "no backend stands in {}, and no group is called so"
            depends = (("regions", name), *_what_places_depend_on(config))
            yield found(path, message, name, suggestion=nearest(name, known), depends=depends)


def allowances_are_not_empty(config: Config) -> Iterator[Finding]:
    """An empty list would refuse everything; whoever means that removes the tenant."""
    if config.policy.default_regions == ():
        yield found(("policy", "default_regions"), "an empty list lets data go nowhere; write any, or name regions")
    for name, tenant in config.tenants.items():
        if tenant.regions == ():
            yield found(("tenants", name, "regions"), "an empty list lets data go nowhere; write any, or name regions")


def everybody_can_be_answered(config: Config) -> Iterator[Finding]:
    """A caller whom no backend may serve is better told now than at each request."""
    places = sites(config)
    if len(places) < len(config.backends) or not config.backends:
        return
    known = _known(config)
    yield from _nobody_by_default(config, places)
    for name, tenant in config.tenants.items():
        regions, local_only = tenant_regions(config, tenant), tenant.local_only or config.policy.local_only
        if _mean_something(tenant.regions, known) and not eligible(places, regions, local_only=local_only):
            what = "local_only" if eligible(places, regions, local_only=False) else "regions"
            message = f"no backend may answer this tenant: none fits its {what}"
            yield found(("tenants", name), message, depends=_world(config))


def _nobody_by_default(config: Config, places: Mapping[str, Site]) -> Iterator[Finding]:
    policy = config.policy
    if policy.local_only and not eligible(places, None, local_only=True):
        message = "no backend is on this box, so nothing could be answered"
        yield found(("policy", "local_only"), message, depends=_world(config))
    elif _mean_something(policy.default_regions, _known(config)) and not eligible(
        places, default_regions(config), local_only=policy.local_only
    ):
        message = "no backend that may answer stands there, so nothing could be answered"
        yield found(("policy", "default_regions"), message, depends=_world(config))


def _mean_something(names: object, known: frozenset[str]) -> bool:
    """Whether an allowance has no other finding: a misspelt or empty one is judged once."""
    return not isinstance(names, tuple) or (bool(names) and known.issuperset(names))


def _known(config: Config) -> frozenset[str]:
    """Every group, and every region something stands in."""
    return frozenset({*config.regions, *_regions_in_use(config)})


def _world(config: Config) -> tuple[Path, ...]:
    policy: tuple[Path, ...] = (("policy", "default_regions"), ("policy", "local_only"))
    return (*_what_places_depend_on(config), *policy, ("regions",))


def _regions_in_use(config: Config) -> Iterator[str]:
    yield config.server.region
    for place in sites(config).values():
        if place.region != UNKNOWN_REGION:
            yield place.region


def _allowances(config: Config) -> Iterator[tuple[Path, str]]:
    """Every region or group that data is said to be allowed in."""
    lists: list[tuple[Path, object]] = [(("policy", "default_regions"), config.policy.default_regions)]
    lists += [(("tenants", name, "regions"), tenant.regions) for name, tenant in config.tenants.items()]
    for path, names in lists:
        for index, name in enumerate(names if isinstance(names, tuple) else ()):
            yield (*path, index), name


def _named_regions(config: Config) -> Iterator[tuple[Path, str]]:
    yield ("server", "region"), config.server.region
    for name, engine in config.engines.items():
        yield ("engines", name, "region"), engine.region or ""
    for name, backend in config.backends.items():
        yield ("backends", name, "region"), backend.region or ""
    for group, members in config.regions.items():
        yield ("regions", group), group
        yield from ((("regions", group, index), member) for index, member in enumerate(members))
    yield from _allowances(config)


def _what_places_depend_on(config: Config) -> tuple[Path, ...]:
    return (
        ("server", "region"),
        *(("backends", name, key) for name in config.backends for key in ("engine", "provider", "region")),
        *(("engines", name, key) for name in config.engines for key in ("kind", "urls", "on_box", "region")),
    )


RULES = (
    somebody_says_where_data_may_go,
    groups_are_no_regions,
    groups_are_flat,
    groups_have_members,
    reserved_names,
    regions_exist,
    allowances_are_not_empty,
    everybody_can_be_answered,
)
