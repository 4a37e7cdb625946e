"""Where an engine is at the moment, and what it calls its model: both change with each start."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.errors import EngineGone, Unreachable
from gateway.types import BackendSpec, EngineView


class EngineAddress:
    """The engine behind a backend's name. `view` says what is known of it."""

    def __init__(self, spec: BackendSpec, view: Callable[[], EngineView | None]) -> None:
        self._spec = spec
        self._view = view

    @property
    def model(self) -> str:
        """What it calls its model."""
        view = self._view()
        return view.model if view is not None and view.model else self._spec.model

    def url(self, path: str) -> str:
        """Where `path` is. Raises EngineGone while it listens nowhere."""
        view = self._view()
        if view is None or view.url is None:
            detail = "not seen yet" if view is None else view.detail
            raise EngineGone(f"{self._spec.name}: {detail}")
        return view.url + path

    @contextmanager
    def reached(self) -> Iterator[None]:
        """An engine that takes no connection has died a moment ago; the host is about to say so."""
        try:
            yield
        except Unreachable as error:
            raise EngineGone(f"{self._spec.name}: its engine takes no connections") from error
