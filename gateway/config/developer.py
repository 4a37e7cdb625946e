"""The built-in developer configuration: what `serve` uses when nobody gives it a file."""

from importlib.resources import files

from gateway.config.environment import Environ, unset
from gateway.config.load import configured
from gateway.config.positions import Document, Tree, Value, read
from gateway.config.schema import Config
from gateway.errors import ForebayError

FILE = "developer.yaml"


def developer_text() -> str:
    """The file itself, comments and all."""
    return files("gateway.config").joinpath(FILE).read_text("utf-8")


def developer_config(environ: Environ) -> Config:
    """The built-in configuration without the backends whose secrets are not set, so that it works with no key at all.

    Raises ConfigError where the environment fills it with something that does not fit.
    """
    document = read(developer_text())
    tree = _without_unset(document.tree, environ)
    return configured(Document(tree, document.places, document.findings), FILE, environ)


def _without_unset(tree: Tree, environ: Environ) -> Tree:
    backends, tiers = tree.get("backends"), tree.get("tiers")
    if not isinstance(backends, dict) or not isinstance(tiers, dict):
        raise ForebayError(f"{FILE} has been damaged: install Forebay again")
    kept = {name: backend for name, backend in backends.items() if not _needs_more(backend, environ)}
    served: Tree = {tier: [name for name in _names(listed) if name in kept] for tier, listed in tiers.items()}
    return {**tree, "backends": kept, "tiers": served}


def _needs_more(value: Value, environ: Environ) -> bool:
    if isinstance(value, dict):
        return any(_needs_more(item, environ) for item in value.values())
    if isinstance(value, list):
        return any(_needs_more(item, environ) for item in value)
    return isinstance(value, str) and bool(unset(value, environ))


def _names(listed: Value) -> list[str]:
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
