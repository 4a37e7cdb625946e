"""Reading single keywords of a raw schema, each with its type and its limit checked. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from local_models.llama.bounds import Bounds, bound
from local_models.llama.errors import KeywordError, SchemaError
from local_models.llama.pointers import MAX_CHOICES, RawSchema

MAX_COUNT: Final = 1_000
"""Largest minLength, maxLength, minItems and maxItems, and the longest constant."""

MAX_OPTIONAL: Final = 128
"""Optional properties of one object: each is a reading of its own until its name begins to differ."""

HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "properties": "object", "required": "object", "additionalProperties": "object",
        "items": "array", "prefixItems": "array", "minItems": "array", "maxItems": "array",
        "pattern": "string", "format": "string", "minLength": "string", "maxLength": "string",
        "minimum": "number", "maximum": "number", "exclusiveMinimum": "number", "exclusiveMaximum": "number",
    }
)  # fmt: skip
"""The type a keyword speaks about, for schemas that do not name their type."""

_TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
_REFUSED: Final = (
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "patternProperties",
    "propertyNames", "contains", "minContains", "maxContains", "$dynamicRef", "$recursiveRef", "unevaluatedItems",
)  # fmt: skip


def refuse_unenforceable(raw: RawSchema) -> None:
    """Raise KeywordError for a keyword that constrains values in a way the grammar cannot express."""
    for key in _REFUSED:
        if key in raw:
            raise KeywordError(f"keyword {key!r} cannot be enforced")
    if raw.get("uniqueItems", False) is not False:
        raise KeywordError("keyword 'uniqueItems' cannot be enforced")
    if "multipleOf" in raw and (raw["multipleOf"] != 1 or raw.get("type") != "integer"):
        raise KeywordError("keyword 'multipleOf' cannot be enforced")


def listed(raw: RawSchema, key: str) -> list[object]:
    """The values of a keyword that lists alternatives."""
    values = raw[key]
    if not isinstance(values, list) or not values:
        raise SchemaError(f"{key} must be a list that is not empty")
    if len(values) > MAX_CHOICES:
        raise SchemaError(f"{key} has {len(values):,} values; the limit is {MAX_CHOICES}")
    return values


def type_names(raw: RawSchema) -> list[str]:
    """The types named by `type`, each once; none when the keyword is absent."""
    kinds = raw.get("type", [])
    names = kinds if isinstance(kinds, list) else [kinds]
    found = [name for name in names if isinstance(name, str) and name in _TYPES]
    if len(found) < len(names) or ("type" in raw and not found):
        raise SchemaError(f"type must be one or several of {', '.join(_TYPES)}")
    return list(dict.fromkeys(found))


def has_type(value: object, names: list[str]) -> bool:
    """Is `value`, a decoded JSON value, of one of the types?"""
    if isinstance(value, bool) or value is None:
        return ("null" if value is None else "boolean") in names
    if isinstance(value, int | float):
        return "number" in names or ("integer" in names and value == int(value))
    kind = "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
    return kind in names


def properties_of(raw: RawSchema) -> tuple[dict[str, object], frozenset[str]]:
    """The declared properties, with required ones that are declared nowhere added, and the names required."""
    declared, names = raw.get("properties", {}), raw.get("required", [])
    if not isinstance(declared, dict) or not isinstance(names, list):
        raise SchemaError("properties must be an object and required a list")
    if not all(isinstance(name, str) for name in names):
        raise SchemaError("required must list names")
    extra = raw.get("additionalProperties", True)
    missing = {str(name): extra for name in names if name not in declared}
    if extra is False and missing:
        raise SchemaError(f"required property {next(iter(missing))[:100]!r} is not among the properties")
    if len(declared) + len(missing) > MAX_CHOICES:
        raise SchemaError(f"an object has {len(declared) + len(missing):,} properties; the limit is {MAX_CHOICES}")
    if (optional := len(declared.keys() - set(names))) > MAX_OPTIONAL:
        raise SchemaError(f"an object has {optional:,} optional properties; the limit is {MAX_OPTIONAL}")
    return {**declared, **missing}, frozenset(map(str, names))


def span(raw: RawSchema, low: str, high: str) -> tuple[int, int | None]:
    """A least and a most count, such as minLength and maxLength."""
    least, most = _count(raw, low), _count(raw, high)
    if least is not None and most is not None and least > most:
        raise SchemaError(f"{low} is more than {high}")
    return least or 0, most


def _count(raw: RawSchema, key: str) -> int | None:
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SchemaError(f"{key} must be a whole number from 0")
    if value > MAX_COUNT:
        raise SchemaError(f"{key} is {value:,}; the limit is {MAX_COUNT:,}")
    return value


def number_bounds(raw: RawSchema) -> Bounds:
    """minimum, maximum and their exclusive forms."""
    low, above = _limit(raw, "minimum", "exclusiveMinimum", lower=True)
    high, below = _limit(raw, "maximum", "exclusiveMaximum", lower=False)
    if low is not None and high is not None and low > high:
        raise SchemaError(f"no number lies between {low} and {high}")
    return Bounds(None if low is None else bound(low), None if high is None else bound(high), above=above, below=below)


def _limit(raw: RawSchema, closed: str, opened: str, *, lower: bool) -> tuple[float | None, bool]:
    """The tighter of the two bounds on one side, and whether it is itself left out."""
    limits: dict[str, float] = {}
    for key in (closed, opened):
        value = raw.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            limits[key] = value
        elif value is not None:
            raise SchemaError(f"{key} must be a number")
    if not limits:
        return None, False
    best = max(limits.values()) if lower else min(limits.values())
    return best, limits.get(opened) == best


def check_property_counts(raw: RawSchema, required: int, declared: int, *, open_ended: bool) -> None:
    """minProperties and maxProperties are accepted where the other keywords already see to them."""
    least, most = span(raw, "minProperties", "maxProperties")
    if least > required:
        raise KeywordError("keyword 'minProperties' cannot be enforced beyond the required properties")
    if most is not None and (open_ended or most < declared):
        raise KeywordError("keyword 'maxProperties' cannot be enforced below the number of properties")
