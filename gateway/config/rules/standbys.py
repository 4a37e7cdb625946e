"""Standbys: an engine that answers under another one's name must be able to, and must not surprise anybody by it."""

from collections.abc import Iterator

from gateway.config.findings import Finding, Path, found
from gateway.config.schema import Config
from gateway.config.sites import engine_on_box
from gateway.config.suggest import nearest


def standby_exists(config: Config) -> Iterator[Finding]:
    """It is named as it is under `engines`."""
    for path, _, standby in _all(config):
        if standby not in config.engines:
            others = [name for name in config.engines if name != path[1]]
            depends = (("engines", standby),)
            yield found(path, "no engine is called {}", standby, suggestion=nearest(standby, others), depends=depends)


def standby_is_another(config: Config) -> Iterator[Finding]:
    """What is down does not stand in for itself."""
    for path, name, standby in _all(config):
        if standby == name:
            yield found(path, "is this engine itself; name another, such as a small model on the CPU")


def standby_has_none_itself(config: Config) -> Iterator[Finding]:
    """One step is all that a reader of the file has to follow, and all that is taken."""
    for path, name, standby in _known(config):
        if config.engines[standby].standby is not None and standby != name:
            message = "{} has a standby itself, which would not be asked for this engine; name one without"
            yield found(path, message, standby, depends=(("engines", standby, "standby"),))


def standby_is_on_the_box(config: Config) -> Iterator[Finding]:
    """Data that a reader of the backends thinks is here must not leave because an engine is down."""
    for path, _, standby in _known(config):
        if not engine_on_box(config.engines[standby]):
            message = "{} is not on this box; a standby is, and somebody elsewhere is a backend of its own"
            depends = tuple(("engines", standby, key) for key in ("kind", "urls", "on_box"))
            yield found(path, message, standby, depends=depends)


def standby_writes_text(config: Config) -> Iterator[Finding]:
    """Vectors of two engines do not compare, and one that gives vectors writes nothing."""
    for path, name, standby in _known(config):
        depends = (("engines", name, "runner"), ("engines", standby, "runner"))
        if config.engines[name].runner == "pooling":
            message = "only with runner: generate; for vectors make a second backend of the same model"
            yield found(path, message, depends=depends)
        elif config.engines[standby].runner == "pooling":
            yield found(path, "{} gives vectors, and writes no text", standby, depends=depends)


def _all(config: Config) -> Iterator[tuple[Path, str, str]]:
    """The key, the engine and its standby, of each engine that names one."""
    for name, engine in config.engines.items():
        if engine.standby is not None:
            yield ("engines", name, "standby"), name, engine.standby


def _known(config: Config) -> Iterator[tuple[Path, str, str]]:
    """Those whose standby there is."""
    return (each for each in _all(config) if each[2] in config.engines)


RULES = (
    standby_exists,
    standby_is_another,
    standby_has_none_itself,
    standby_is_on_the_box,
    standby_writes_text,
)
