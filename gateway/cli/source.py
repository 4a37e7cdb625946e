"""Where a command's configuration comes from."""

from pathlib import Path

from gateway.config.developer import developer_config
from gateway.config.environment import Environ
from gateway.config.load import load
from gateway.config.schema import Config


def configuration(path: Path | None, environ: Environ) -> Config:
    """The file, or the built-in developer configuration where none is named. Raises ConfigError."""
    return developer_config(environ) if path is None else load(path, environ)
