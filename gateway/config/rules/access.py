"""Access: who may reach which address, whose keys count, and which SLA class they get."""

from collections.abc import Iterator

from gateway.config.addresses import HIGHEST_PORT, Address, listen_address, loopback, wildcard
from gateway.config.findings import Finding, Path, found
from gateway.config.schema import Config, Key
from gateway.config.suggest import nearest


def open_on_loopback_only(config: Config) -> Iterator[Finding]:
    """Without keys, whoever reaches the address spends the money and reads the models."""
    listen = config.server.listen
    if config.auth.mode == "none" and not loopback(listen_address(listen).host):
        message = "{} can be reached from outside, and auth.mode is none; give tenants keys, or listen on 127.0.0.1"
        yield found(("server", "listen"), message, listen, depends=(("auth", "mode"),))


def admin_on_loopback(config: Config) -> Iterator[Finding]:
    """Metrics and admin pages have no key of their own."""
    listen = config.server.admin_listen
    if not loopback(listen_address(listen).host):
        yield found(("server", "admin_listen"), "expected a loopback address such as 127.0.0.1:8081, found {}", listen)


def two_addresses(config: Config) -> Iterator[Finding]:
    """Two servers cannot listen at one address."""
    if _overlap(listen_address(config.server.listen), listen_address(config.server.admin_listen)):
        message = "server.listen is there already ({}); choose another port"
        yield found(("server", "admin_listen"), message, config.server.listen, depends=(("server", "listen"),))


def ports_exist(config: Config) -> Iterator[Finding]:
    """The pattern lets five digits through; a port has sixteen bits. 0 lets the system choose."""
    for key, listen in (("listen", config.server.listen), ("admin_listen", config.server.admin_listen)):
        if listen_address(listen).port > HIGHEST_PORT:
            yield found(("server", key), "expected a port from 0 to 65535, found {}", listen)


def keys_mode_has_keys(config: Config) -> Iterator[Finding]:
    """With no key to show, everybody would be turned away."""
    if config.auth.mode == "keys" and not any(tenant.keys for tenant in config.tenants.values()):
        message = "keys are asked for, and no tenant has one; write tenants: {acme: {keys: [{name: …, hash: …}]}}"
        yield found(("auth", "mode"), message, depends=(("tenants",),))


def hashes_are_unique(config: Config) -> Iterator[Finding]:
    """A key belongs to one tenant, or nobody knows who asked."""
    first: dict[str, tuple[Path, str]] = {}
    for tenant, path, key in _keys(config):
        if key.hash in first:
            earlier, owner = first[key.hash]
            whose = "this tenant has" if owner == tenant else f"the tenant {owner} has"
            yield found((*path, "hash"), f"{whose} the same key already", depends=((*earlier, "hash"),))
        first.setdefault(key.hash, (path, tenant))


def key_names_are_unique(config: Config) -> Iterator[Finding]:
    """Logs and the ledger know a key by its name alone."""
    first: dict[tuple[str, str], Path] = {}
    for tenant, path, key in _keys(config):
        if (tenant, key.name) in first:
            earlier = first[tenant, key.name]
            yield found((*path, "name"), "this tenant has another key called {}", key.name, depends=(earlier,))
        first.setdefault((tenant, key.name), (*path, "name"))


def classes_exist(config: Config) -> Iterator[Finding]:
    """A class is named as it is under `classes`."""
    named: list[tuple[Path, str | None]] = [(("policy", "default_class"), config.policy.default_class)]
    named += [(("tenants", name, "class"), tenant.sla) for name, tenant in config.tenants.items()]
    for path, name in named:
        if name is not None and name not in config.classes:
            near = nearest(name, config.classes)
            yield found(path, "no class is called {}", name, suggestion=near, depends=(("classes", name),))


def classes_end_above_their_start(config: Config) -> Iterator[Finding]:
    """Work cannot start in a tier its class may not use."""
    for name, sla in config.classes.items():
        if sla.max_tier.rank < sla.default_tier.rank:
            path = ("classes", name)
            unless = "" if "default_tier" in sla.model_fields_set else " unless given"
            message = f"is below default_tier, which is {sla.default_tier.value}{unless}"
            yield found((*path, "max_tier"), message, depends=((*path, "max_tier"), (*path, "default_tier")))


def _keys(config: Config) -> Iterator[tuple[str, Path, Key]]:
    for tenant, entry in config.tenants.items():
        for index, key in enumerate(entry.keys):
            yield tenant, ("tenants", tenant, "keys", index), key


def _overlap(one: Address, other: Address) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    both_loopback = loopback(one.host) and loopback(other.host)
    return both_loopback or one.host.lower() == other.host.lower() or wildcard(one.host) or wildcard(other.host)


RULES = (
    open_on_loopback_only,
    admin_on_loopback,
    two_addresses,
    ports_exist,
    keys_mode_has_keys,
    hashes_are_unique,
    key_names_are_unique,
    classes_exist,
    classes_end_above_their_start,
)
