"""Whether a model's file can be served at all: asked before any process is started for it."""

from pathlib import Path

from local_models.errors import BadModelFile
from local_models.llama.errors import StartError
from local_models.llama.gguf import check


def check_file(path: Path) -> None:
    """Return when `path` is a whole GGUF. Raises BadModelFile, with the line that the engine would end with."""
    try:
        check(path)
    except StartError as error:
        raise BadModelFile(str(error)) from error
