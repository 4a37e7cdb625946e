"""Schemas that cannot be enforced, contradict themselves or cost too much are refused by name, in time."""

import json
import time
from typing import Any

import pytest

from local_models.llama.errors import SchemaError
from local_models.llama.gbnf import schema_grammar


def grammar(schema: Any) -> str:
    """The grammar of a schema given as a value."""
    return schema_grammar(json.dumps(schema).encode())


def nested(depth: int) -> Any:
    """Objects inside objects."""
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def doubling(depth: int, **sibling: Any) -> Any:
    """Definitions that mention the next one twice: 2^depth parts when written out."""
    definitions: dict[str, Any] = {
        f"d{level}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/d{level + 1}", **sibling} for name in ("a", "b")},
        }
        for level in range(depth)
    }
    definitions[f"d{depth}"] = {"type": "object"}
    return {"$ref": "#/$defs/d0", "$defs": definitions}


def alike(count: int) -> Any:
    """Objects that begin alike and differ in what comes after."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"x": {"type": "string"}, f"p{place}": {"type": "null"}},
                "required": ["x", f"p{place}"],
            }
            for place in range(count)
        ]
    }


BOMBS = {
    "a string too long": ({"type": "string", "maxLength": 30_000}, "maxLength is 30,000; the limit is 1,000"),
    "an array too long": ({"type": "array", "minItems": 5_000}, "minItems is 5,000; the limit is 1,000"),
    "100,000 values": ({"enum": [f"v{place}" for place in range(100_000)]}, "limit is 65,536"),
    "501 values": ({"enum": list(range(501))}, "enum has 501 values; the limit is 500"),
    "nesting": (nested(100), "nested deeper than the limit of 32"),
    "deep constants": ({"const": json.loads("[" * 900 + "]" * 900)}, "limit of 32"),
    "nesting by reference": (doubling(40), "nested deeper than the limit of 32"),
    "doubling": (doubling(14, minProperties=0), "limit of"),
    "a long constant": ({"const": "x" * 2_000}, "the limit is 1,000"),
    "a pattern": ({"type": "string", "pattern": "^((a{1,100}){1,100}b){1,100}$"}, "limit of"),
    "many lengths": (
        {"type": "object", "properties": {f"p{n}": {"type": "string", "maxLength": 900 + n} for n in range(100)}},
        "add up to more than the limit",
    ),
    "many bounds": (
        {
            "type": "object",
            "properties": {f"p{n}": {"type": "number", "minimum": n + 0.001, "maximum": 1e9 + n} for n in range(128)},
        },
        "limit of",
    ),
    "many properties": ({"type": "object", "properties": {f"p{n}": {} for n in range(501)}}, "the limit is 500"),
    "many options": ({"type": "object", "properties": {f"p{n}": {} for n in range(129)}}, "the limit is 128"),
    "many alternatives": (alike(500), "the limit is 64"),
    "readings side by side": (alike(40), "limit of 32 readings"),
    "readings that double": (
        {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"$ref": "#"}}]},
        "recursive union",
    ),
    "readings that double out of sight": (
        {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "array", "items": {"$ref": "#/$defs/a"}}]},
                "b": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a"}}, {"type": "null"}]},
            },
        },
        "recursive union",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_with_the_limit_in_under_a_tenth_of_a_second(name: str) -> None:
    """The limit is named, and finding out costs little: the best of ten, for one may pay for the tests' garbage, and
    a machine that is taken away in between counts as the test's time.
    """
    schema, why = BOMBS[name]
    data = json.dumps(schema).encode()
    costs: list[float] = []
    while len(costs) < 10 and min(costs, default=1.0) >= 0.1:
        begin = time.process_time()
        with pytest.raises(SchemaError, match=why):
            schema_grammar(data)
        costs.append(time.process_time() - begin)
    assert min(costs) < 0.1


@pytest.mark.parametrize("data", [b"[" * 60_000, b'{"a":' * 10_000, b"\xff", b"", b'{"type":'])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    """Neither nesting nor broken text gets further than the decoder."""
    with pytest.raises(SchemaError, match="not JSON"):
        schema_grammar(data)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"not": {}}, "'not' cannot be enforced"),
        ({"type": "object", "patternProperties": {"^a": {}}}, "'patternProperties' cannot be enforced"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' cannot be enforced"),
        ({"type": "number", "multipleOf": 0.1}, "'multipleOf' cannot be enforced"),
        ({"type": "object", "properties": {"a": {}}, "minProperties": 1}, "'minProperties' cannot be enforced"),
        ({"type": "object", "maxProperties": 3}, "'maxProperties' cannot be enforced"),
        ({"$ref": "https://example.com/schema"}, "is remote"),
        ({"$ref": "#anchor"}, "is an anchor"),
        ({"$ref": "#/$defs/none"}, "points to nothing"),
        ({"$ref": 3}, r"\$ref must be a string"),
        ({"$ref": "#"}, "refers to itself"),
        ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "refers to itself"),
        ({"type": "objekt"}, "type must be one or several of"),
        ({"type": []}, "type must be one or several of"),
        ({"enum": []}, "enum must be a list that is not empty"),
        ({"type": "string", "enum": [1]}, "enum leaves no value"),
        ({"enum": ["a"], "pattern": "^a$"}, "enum or const beside 'pattern'"),
        ({"anyOf": [True], "oneOf": [True]}, "anyOf beside oneOf"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength is more than maxLength"),
        ({"type": "string", "minLength": -1}, "whole number from 0"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "no number lies between"),
        ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "allows no value"),
        ({"type": "number", "minimum": 1e300}, "limit of 1e30"),
        ({"type": "string", "pattern": "^a$", "minLength": 2}, "allows no value"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "'a' is not among the properties"),
        ({"type": "object", "properties": []}, "properties must be an object"),
        ({"type": "array", "items": False, "minItems": 1}, "minItems is more than the items allowed"),
        ({"allOf": [{"type": "string", "pattern": "a"}, {"pattern": "b"}]}, "two different values of 'pattern'"),
        (False, "false allows no value"),
        (3, "must be an object or a boolean"),
    ],
)
def test_what_cannot_be_enforced_or_satisfied_is_named(schema: Any, why: str) -> None:
    """A schema is refused rather than read more loosely than it was meant."""
    with pytest.raises(SchemaError, match=why):
        grammar(schema)


def test_a_schema_that_mentions_a_definition_a_thousand_times_is_written_once() -> None:
    """References share their rule: size grows with the schema, not with the paths through it."""
    schema = doubling(13)
    assert len(grammar(schema)) < 4_000
