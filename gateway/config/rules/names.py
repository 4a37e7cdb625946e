"""Names: what tiers and aliases stand for, and which names a client could take for two things."""

from collections.abc import Iterator

from gateway.config.findings import Finding, Path, found
from gateway.config.schema import Config
from gateway.config.suggest import nearest
from gateway.config.vectors import embedders
from gateway.types import TIERS

AUTO = "auto"
_FIXED = frozenset({AUTO, *(tier.value for tier in TIERS)})


def tiers_name_backends(config: Config) -> Iterator[Finding]:
    """A tier lists backends as they are named under `backends`."""
    for path, name in _listed(config):
        if name not in config.backends:
            near = nearest(name, config.backends)
            yield found(path, "no backend is called {}", name, suggestion=near, depends=(("backends", name),))


def tiers_write_text(config: Config) -> Iterator[Finding]:
    """Vectors are asked for by their model's name, and no tier is stronger in them than another."""
    given = embedders(config)
    for path, name in _listed(config):
        if name in given:
            backend: Path = ("backends", name)
            message = "{} gives vectors, not text; remove it: clients ask for it by its name"
            depends = ((*backend, "embeddings"), (*backend, "engine"))
            yield found(path, message, name, depends=depends)


def one_tier_each(config: Config) -> Iterator[Finding]:
    """The tier of a backend says how strong it is, so it has one."""
    first: dict[str, Path] = {}
    for path, name in _listed(config):
        if name in first:
            yield found(path, f"{{}} is in tier {first[name][1]} already", name, depends=(first[name],))
        first.setdefault(name, path)


def some_tier_answers(config: Config) -> Iterator[Finding]:
    """With every tier empty, nothing could be answered but pinned requests; vectors always are."""
    if not any(True for _ in _listed(config)) and len(embedders(config)) < len(config.backends):
        yield found(("tiers",), "every tier is empty; list a backend in one of light, mid, premium")


def backend_names_are_free(config: Config) -> Iterator[Finding]:
    """`auto`, the tiers and the aliases are what clients ask for when they do not mean a backend."""
    for name in config.backends:
        if name in _FIXED:
            yield found(("backends", name), "this name means routing, not a backend; choose another")
        elif name in config.aliases:
            yield found(("backends", name), "an alias has this name too; rename one", depends=(("aliases", name),))


def alias_names_are_free(config: Config) -> Iterator[Finding]:
    """Clients who ask for `auto` or a tier get just that."""
    for alias in config.aliases:
        if alias in _FIXED:
            yield found(("aliases", alias), "this name has its own meaning and cannot be an alias")


def aliases_lead_somewhere(config: Config) -> Iterator[Finding]:
    """An alias stands for `auto`, a tier or a backend, in one step."""
    for alias, target in config.aliases.items():
        path = ("aliases", alias)
        if target in _FIXED or target in config.backends:
            continue
        if target in config.aliases:
            yield found(path, "{} is an alias itself; name what it stands for", target, depends=(("aliases", target),))
        else:
            near = nearest(target, (*_FIXED, *config.backends))
            message = "expected auto, a tier or a backend, found {}"
            yield found(path, message, target, suggestion=near, depends=(("backends", target),))


def _listed(config: Config) -> Iterator[tuple[Path, str]]:
    for tier in TIERS:
        names: tuple[str, ...] = getattr(config.tiers, tier.value)
        for index, name in enumerate(names):
            yield ("tiers", tier.value, index), name


RULES = (
    tiers_name_backends,
    tiers_write_text,
    one_tier_each,
    some_tier_answers,
    backend_names_are_free,
    alias_names_are_free,
    aliases_lead_somewhere,
)
