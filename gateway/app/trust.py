"""Whose certificates are believed by each backend: those this machine trusts, or those of a file."""

import ssl
from pathlib import Path

from gateway.config.schema import Config
from gateway.errors import ForebayError
from local_models.trust import client_context

# A company's authorities are a few thousand bytes; all that a machine trusts are a quarter of a million.
_LARGEST = 400_000


class TrustUnusable(ForebayError):
    """A file of certificates cannot be used; the message says which, and what to do."""


class Trust:
    """TLS contexts towards backends. What this machine trusts is read once, when the first of them asks."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._of_the_machine: ssl.SSLContext | None = None

    def context(self, backend: str) -> ssl.SSLContext | None:
        """For a backend by its name; None where nothing is called over TLS. Raises TrustUnusable."""
        section = self._config.backends[backend]
        if section.engine is not None:
            return self.engine_context(section.engine)
        return self._context((section.base_url or "",), section.ca, f"backends.{backend}.ca")

    def engine_context(self, name: str) -> ssl.SSLContext | None:
        """The same for an engine."""
        engine = self._config.engines[name]
        return self._context(engine.urls, engine.ca, f"engines.{name}.ca")

    def _context(self, urls: tuple[str, ...], ca: str | None, key: str) -> ssl.SSLContext | None:
        if not any(url.startswith("https://") for url in urls):
            return None
        if ca is not None:
            return client_context(certificates(ca, key))
        if self._of_the_machine is None:
            self._of_the_machine = client_context()
        return self._of_the_machine


def certificates(file: str, key: str) -> str:
    """The certificates in a file, as PEM. `key` is where the configuration names it. Raises TrustUnusable."""
    path = Path(file).expanduser()
    try:
        with path.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError as error:
        raise _unusable(path, key, (error.strerror or type(error).__name__).lower()) from error
    if len(content) > _LARGEST:
        raise _unusable(path, key, f"it is larger than {_LARGEST} bytes")
    try:
        text = content.decode("ascii")
        client_context(text)
    except (ValueError, ssl.SSLError) as error:
        raise _unusable(path, key, "it holds no certificates in PEM") from error
    return text


def _unusable(path: Path, key: str, why: str) -> TrustUnusable:
    return TrustUnusable(f"cannot use the certificates {path} ({key}): {why}")
