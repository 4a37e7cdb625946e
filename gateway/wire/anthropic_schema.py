"""JSON Schemas as Anthropic's structured output takes them: closed objects, and no limits on values.

Whatever satisfies the narrowed schema has the shape that the caller asked for. The limits are told the model in words,
as the official package does it, and the answer is held to the caller's own schema like any other.
"""

from typing import Any

from gateway.messages import JsonObject

_OF_VALUES = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength")
_OF_SIZES = ("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties")
_LIMITS = frozenset((*_OF_VALUES, *_OF_SIZES))


def narrowed(schema: JsonObject) -> JsonObject:
    """`schema` as that API takes it."""
    found = {name: _within(name, value) for name, value in schema.items() if name not in _LIMITS}
    limits = [f"{name}: {value}" for name, value in schema.items() if name in _LIMITS]
    if limits:
        found["description"] = f"{found.get('description', '')} ({', '.join(limits)})".strip()
    if found.get("properties"):
        found.setdefault("additionalProperties", False)
    return found


def _within(name: str, value: Any) -> Any:
    """A schema's member; those that hold schemas are narrowed too."""
    if name in ("properties", "$defs", "definitions") and isinstance(value, dict):
        return {key: narrowed(each) if isinstance(each, dict) else each for key, each in value.items()}
    if name == "items" and isinstance(value, dict):
        return narrowed(value)
    if name in ("anyOf", "allOf", "oneOf") and isinstance(value, list):
        return [narrowed(each) if isinstance(each, dict) else each for each in value]
    return value
