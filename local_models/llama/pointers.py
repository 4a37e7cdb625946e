"""`$ref` and `allOf` on raw schemas: looking up local pointers and merging what must hold together. Pure."""

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from local_models.llama.errors import KeywordError, SchemaError

MAX_CHOICES: Final = 500
"""Values of an enum, alternatives of a union, schemas under allOf, properties of an object."""

RawSchema = dict[str, object]
"""A schema object as it came in; its values are only trusted after a check."""

ANNOTATIONS: Final = frozenset(
    {
        "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly",
        "$schema", "$id", "$comment", "$defs", "definitions", "discriminator", "contentEncoding", "contentMediaType",
    }
)  # fmt: skip
"""Keywords that say nothing about which values are valid."""


def look_up(document: object, pointer: str) -> object:
    """The part of the document that `pointer` (`#` or `#/…`, RFC 6901) names."""
    if not pointer.startswith("#"):
        raise KeywordError(f"$ref {pointer[:200]!r} is remote; only references inside the schema are followed")
    if pointer not in ("#", "#/") and not pointer.startswith("#/"):
        raise KeywordError(f"$ref {pointer[:200]!r} is an anchor; only pointers such as #/$defs/Name are followed")
    here = document
    for part in unquote(pointer[2:]).split("/") if len(pointer) > 2 else ():
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and key.isdecimal() and len(key) < 6 and int(key) < len(here):
            here = here[int(key)]
        else:
            raise SchemaError(f"$ref {pointer[:200]!r} points to nothing")
    return here


def merge(left: RawSchema, right: RawSchema) -> RawSchema:
    """A schema that holds where both do. Raises SchemaError when two keywords cannot be put into one."""
    merged = dict(left)
    for key, value in right.items():
        if key not in merged or key in ANNOTATIONS:
            merged.setdefault(key, value)
        elif key != "properties" and merged[key] != value:
            merged[key] = _merged(key, merged[key], value)
    if "properties" in merged:
        merged["properties"] = _properties(left, right)
    return merged


def _properties(left: RawSchema, right: RawSchema) -> object:
    """What both sides say about each property that either declares."""
    ours, theirs = left.get("properties", {}), right.get("properties", {})
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        raise SchemaError("properties must be an object")
    found: dict[str, object] = {}
    for name in (*ours, *(name for name in theirs if name not in ours)):
        said = [_said(side, declared, name) for side, declared in ((left, ours), (right, theirs))]
        parts = [schema for schema in said if schema is not True]
        found[name] = {"allOf": parts} if len(parts) == 2 else parts[0] if parts else True
    return found


def _said(side: RawSchema, declared: dict[str, object], name: str) -> object:
    """The schema that one side has for a property: its own, or the one for undeclared properties."""
    if name in declared:
        return declared[name]
    extra = side.get("additionalProperties", True)
    if extra is False:
        raise KeywordError("allOf with additionalProperties: false beside further properties is not supported")
    return extra


def _merged(key: str, left: object, right: object) -> object:
    if key in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
        return _extreme(key, max, left, right)
    if key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
        return _extreme(key, min, left, right)
    if key in ("items", "additionalProperties"):
        return {"allOf": [left, right]}
    if key == "type":
        return _types(left, right)
    if isinstance(left, list) and isinstance(right, list):
        return _lists(key, left, right)
    raise _different(key)


def _lists(key: str, left: list[object], right: list[object]) -> list[object]:
    if key == "required":
        return list(dict.fromkeys([*map(str, left), *map(str, right)]))
    if key != "enum":
        raise _different(key)
    if max(len(left), len(right)) > MAX_CHOICES:
        raise SchemaError(f"an enum has more than the limit of {MAX_CHOICES} values")
    return [value for value in left if value in right]


def _different(key: str) -> KeywordError:
    return KeywordError(f"two different values of {key!r} in allOf are not supported")


def _extreme(key: str, pick: Callable[[float, float], float], left: object, right: object) -> float:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        raise SchemaError(f"{key} must be a number")
    return pick(left, right)


def _types(left: object, right: object) -> list[object]:
    ours = left[:8] if isinstance(left, list) else [left]  # there are seven types
    theirs = right[:8] if isinstance(right, list) else [right]
    shared = [kind for kind in ours if kind in theirs]
    if "integer" in (*ours, *theirs) and "number" in (*ours, *theirs) and "integer" not in shared:
        shared.append("integer")
    return shared
