"""Which backends give vectors instead of text."""

from gateway.config.schema import Backend, Config


def gives_vectors(config: Config, backend: Backend) -> bool:
    """Whether a backend answers embeddings: because its engine is for them, or because the file says so."""
    engine = None if backend.engine is None else config.engines.get(backend.engine)
    return backend.embeddings or (engine is not None and engine.runner == "pooling")


def embedders(config: Config) -> tuple[str, ...]:
    """The names of those that do, in the order of the file."""
    return tuple(name for name, backend in config.backends.items() if gives_vectors(config, backend))
