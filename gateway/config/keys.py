"""Which environment variable each backend's key comes from, told whether or not the rest of a file can be used."""

from pathlib import Path

from gateway.config.developer import developer_text
from gateway.config.environment import Environ, is_reference
from gateway.config.positions import Tree, read
from gateway.config.syntax import Illegible


def key_variables(path: Path | None) -> dict[str, str]:
    """Variable by backend; of the built-in developer configuration where no file is named.

    What cannot be read has none: `load` says why.
    """
    try:
        text = developer_text() if path is None else path.read_text("utf-8-sig")
        tree = read(text).tree
    except (OSError, ValueError, Illegible):
        return {}
    return _variables(tree)


def unset_variables(variables: dict[str, str], environ: Environ) -> dict[str, tuple[str, ...]]:
    """The variables that are not set, or to nothing, with the backends that need them."""
    missing: dict[str, tuple[str, ...]] = {}
    for backend, variable in variables.items():
        if not environ.get(variable):
            missing[variable] = (*missing.get(variable, ()), backend)
    return missing


def _variables(tree: Tree) -> dict[str, str]:
    backends = tree.get("backends")
    named = backends.items() if isinstance(backends, dict) else ()
    keys = ((name, backend.get("api_key")) for name, backend in named if isinstance(backend, dict))
    return {name: key[2:-1] for name, key in keys if isinstance(key, str) and is_reference(key)}
