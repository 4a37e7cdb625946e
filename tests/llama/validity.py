"""Is a JSON value valid under a JSON schema? The standard's definitions, for the keywords that tests generate."""

import re
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def valid(value: Any, schema: Any, root: Any) -> bool:
    """True when `value` is valid under `schema`, whose references point into `root`."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and not valid(value, look_up(root, schema["$ref"]), root):
        return False
    checks = (
        all(valid(value, part, root) for part in schema.get("allOf", [])),
        any(valid(value, part, root) for part in schema.get("anyOf", [True])),
        typed(value, schema),
        "const" not in schema or same(value, schema["const"]),
        "enum" not in schema or any(same(value, one) for one in schema["enum"]),
        not isinstance(value, str) or string(value, schema),
        isinstance(value, bool) or not isinstance(value, int | float) or number(value, schema),
        not isinstance(value, list) or array(value, schema, root),
        not isinstance(value, dict) or record(value, schema, root),
    )
    return all(checks)


def same(left: Any, right: Any) -> bool:
    """Equality that keeps true and 1 apart."""
    return type(left) is type(right) and bool(left == right)


def look_up(root: Any, pointer: str) -> Any:
    """What a local reference points to."""
    here = root
    for part in pointer.removeprefix("#").split("/")[1:]:
        here = here[part]
    return here


def typed(value: Any, schema: dict[str, Any]) -> bool:
    """The `type` keyword."""
    names = schema.get("type", list(TYPES))
    names = names if isinstance(names, list) else [names]
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names if name != "boolean")


def string(value: str, schema: dict[str, Any]) -> bool:
    """Lengths and patterns."""
    matches = re.search(schema.get("pattern", "").replace("$", r"\Z"), value)
    return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)) and bool(matches)


def number(value: float, schema: dict[str, Any]) -> bool:
    """Bounds."""
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    above, below = schema.get("exclusiveMinimum", value - 1), schema.get("exclusiveMaximum", value + 1)
    return bool(low <= value <= high and above < value < below)


def array(value: list[Any], schema: dict[str, Any], root: Any) -> bool:
    """Items and counts."""
    first = schema.get("prefixItems", [])
    return (
        schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        and all(valid(item, part, root) for item, part in zip(value, first, strict=False))
        and all(valid(item, schema.get("items", True), root) for item in value[len(first) :])
    )


def record(value: dict[str, Any], schema: dict[str, Any], root: Any) -> bool:
    """Properties."""
    declared = schema.get("properties", {})
    return all(name in value for name in schema.get("required", [])) and all(
        valid(item, declared.get(name, schema.get("additionalProperties", True)), root) for name, item in value.items()
    )
