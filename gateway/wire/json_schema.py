"""JSON Schemas that callers send: bounded, never fetched, and matched by a regex engine that runs in linear time."""

from typing import Any

import jsonschema_rs
import msgspec

from gateway.errors import RequestError
from gateway.messages import JsonObject

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
"""Deeper or larger ones make grammar compilers in engines run for minutes or crash."""


def check_schema(schema: JsonObject, param: str) -> None:
    """Refuse a schema that is too large, too deep, invalid, or points outside itself."""
    if _deeper_than(schema, MAX_DEPTH):
        raise RequestError(f"{param}: the schema is nested deeper than {MAX_DEPTH} levels", param=param)
    if len(msgspec.json.encode(schema)) > MAX_BYTES:
        raise RequestError(f"{param}: the schema is larger than {MAX_BYTES} bytes", param=param)
    try:
        compile_schema(schema)
    except ValueError as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise RequestError(f"{param}: not a valid JSON Schema: {reason}", param=param) from error


def compile_schema(schema: JsonObject) -> jsonschema_rs.Validator:
    """A validator for `schema`. Raises ValueError where it is none."""
    return jsonschema_rs.validator_for(schema, retriever=_never_fetch, pattern_options=jsonschema_rs.RegexOptions())


def _never_fetch(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched; put the schema inline")


def _deeper_than(value: Any, levels: int) -> bool:
    if levels < 0:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_deeper_than(each, levels - 1) for each in inner)
