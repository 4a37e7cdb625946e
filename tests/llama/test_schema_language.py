"""Whatever a grammar lets through is valid under the schema it was made from: real vocabulary, real grammar engine."""

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_models.llama.errors import SchemaError
from local_models.llama.gbnf import json_object_grammar, schema_grammar
from local_models.llama.grammar import Grammar
from local_models.llama.model import Model
from tests.llama.validity import valid
from tests.llama.walker import Walker


@pytest.fixture(scope="module")
def walker(model: Model) -> Walker:
    """Walks over the default model's vocabulary."""
    return Walker(model.vocabulary)


def texts(walker: Walker, grammar: str, count: int) -> list[str]:
    """Some complete texts of a grammar."""
    compiled = Grammar.compile(walker.vocabulary, grammar)
    found = (walker.write(compiled.fork(), random.Random(seed)) for seed in range(count))
    return [text for text in found if text is not None]


NAMES = st.sampled_from(["a", "ab", "name", "x y", 'quo"te', "é", "kind", "id"])
LENGTHS = st.fixed_dictionaries({}, optional={"minLength": st.integers(0, 3), "maxLength": st.integers(3, 9)})
PATTERNS = st.sampled_from(
    [r"^[A-Z]{2,3}-\d+$", r"^(foo|bar)?baz$", r"a.b", r'^[^"]*"$', r"^[\w.-]+$", r"\d{3}$", "^é*$"]
)
LOW, HIGH = st.sampled_from([0, -3.5, 12, 0.25, -1000]), st.sampled_from([13, 13.5, 100.25, 1e6])
BOUNDS = st.fixed_dictionaries(
    {}, optional={"minimum": LOW, "maximum": HIGH, "exclusiveMinimum": LOW, "exclusiveMaximum": HIGH}
)
STRINGS = ["red", "green", 'gr"ey', "a\nb", "é€", "\\", ""]
VALUES: st.SearchStrategy[Any] = st.sampled_from([*STRINGS, 1, -2.5, True, None, [1, "x"], {"k": []}])
LEAVES = st.one_of(
    LENGTHS.map(lambda more: {"type": "string", **more}),
    PATTERNS.map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.tuples(st.sampled_from(["integer", "number"]), BOUNDS).map(lambda pair: {"type": pair[0], **pair[1]}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, True, {"$ref": "#/$defs/d"}, {"$ref": "#"}]),
    st.lists(VALUES, min_size=1, max_size=5).map(lambda values: {"enum": values}),
    VALUES.map(lambda value: {"const": value}),
    st.just({"type": ["string", "integer", "null"], "maxLength": 4}),
)


def arrays(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Array schemas over these items."""
    extra = {"minItems": st.integers(0, 2), "maxItems": st.integers(2, 4), "prefixItems": st.lists(items, max_size=2)}
    return st.fixed_dictionaries({"type": st.just("array"), "items": items}, optional=extra)


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """Object schemas over these values."""
    properties = draw(st.dictionaries(NAMES, values, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    others = draw(st.sampled_from([None, False, True]) | values)
    more = {} if others is None else {"additionalProperties": others}
    return {"type": "object", "properties": properties, "required": required, **more}


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        arrays(inner),
        objects(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        st.lists(objects(inner), min_size=1, max_size=2).map(lambda parts: {"allOf": parts, "title": "both"}),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schema=SCHEMAS.filter(lambda schema: isinstance(schema, dict)), definition=LEAVES)
def test_every_text_of_a_schemas_grammar_is_valid(walker: Walker, schema: dict[str, Any], definition: Any) -> None:
    """A schema is refused or enforced, whole: no text that its grammar allows is invalid."""
    whole = {**schema, "$defs": {"d": definition}}
    try:
        grammar = schema_grammar(json.dumps(whole).encode())
    except SchemaError:
        return
    for text in texts(walker, grammar, 2):
        assert valid(json.loads(text), whole, whole), text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "format": "email", "maxLength": 12},
        {"type": "string", "format": "ipv4", "maxLength": 9},
        {"enum": [f"item {number}" for number in range(500)]},
        {"anyOf": [{"enum": ["aa", "ab", "a"]}, {"type": "string", "pattern": "^b+$"}, {"type": "null"}]},
        {
            "$ref": "#/$defs/tree",
            "$defs": {
                "tree": {
                    "anyOf": [
                        {"type": "object", "properties": {"leaf": {"type": "integer"}}, "required": ["leaf"]},
                        {
                            "type": "object",
                            "properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}},
                            "required": ["left"],
                        },
                    ]
                }
            },
        },
    ],
)
def test_schemas_people_write_are_enforced(walker: Walker, schema: dict[str, Any]) -> None:
    """Formats, long enums, unions of words and patterns, and trees."""
    found = texts(walker, schema_grammar(json.dumps(schema).encode()), 6)
    assert found
    assert all(valid(json.loads(text), schema, schema) for text in found)


def test_json_mode_gives_objects(walker: Walker) -> None:
    """`json_object` lets nothing but whole JSON objects through."""
    found = texts(walker, json_object_grammar(), 12)
    assert found
    assert all(isinstance(json.loads(text), dict) for text in found)


def test_a_grammar_llama_cpp_does_not_accept_is_an_error_not_a_crash(model: Model) -> None:
    """A NULL sampler becomes a SchemaError."""
    with pytest.raises(SchemaError, match="does not accept the grammar"):
        Grammar.compile(model.vocabulary, "root ::= root")


def test_forks_go_their_own_ways(model: Model) -> None:
    """The state of one answer does not move another's."""
    pattern = Grammar.compile(model.vocabulary, 'root ::= "ab" | "cd"')
    (a,), (c,) = (model.vocabulary.tokenize(text, add_special=False, parse_special=False) for text in ("a", "c"))
    first, second = pattern.fork(), pattern.fork()
    first.accept(a)
    assert not first.allows(c)
    assert second.allows(c)
    assert pattern.allowed(np.array([a, c])).tolist() == [a, c]
