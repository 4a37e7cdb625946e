"""What `local_models` reports, as an error that the command line shows as it is."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import ForebayError
from local_models.errors import LocalModelsError


class ModelFailure(ForebayError):
    """A model could not be listed, fetched or removed; the message says what to do."""


@contextmanager
def told() -> Iterator[None]:
    """The one seam at which a report of `local_models` becomes an error of ours."""
    try:
        yield
    except LocalModelsError as error:
        raise ModelFailure(str(error)) from error
