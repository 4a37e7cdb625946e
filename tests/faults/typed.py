"""Bodies checked by the request types of official packages, with no field that those do not know."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict


def close(package: str) -> None:
    """Let the package's types of requests know no fields but their own, where it says nothing itself.

    It lets more into schemas, for one.
    """
    for module in list(sys.modules.values()):
        if module.__name__.startswith(package):
            for kind in filter(is_typeddict, vars(module).values()):
                if "__pydantic_config__" not in vars(kind):
                    kind.__pydantic_config__ = ConfigDict(extra="forbid")


def problem(adapter: TypeAdapter[Any], found: object) -> str | None:
    """What is wrong with a value, beginning with where; None when nothing is."""
    try:
        _all_of(adapter.validate_python(found))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return None


def _all_of(found: object) -> None:
    """pydantic checks an `Iterable` only as it is read."""
    if isinstance(found, Mapping):
        for value in found.values():
            _all_of(value)
    elif isinstance(found, Iterable) and not isinstance(found, str | bytes | BaseModel):
        for value in found:
            _all_of(value)
