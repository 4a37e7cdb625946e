"""Whatever the grammar of calls lets through is read back as calls of known tools with valid arguments."""

import json
import random
import time
from typing import Any

import pytest

from local_models.llama.errors import SchemaError
from local_models.llama.grammar import Grammar
from local_models.llama.model import Model
from local_models.llama.tools.families import FAMILIES
from local_models.llama.tools.grammar import CallRules, call_grammar
from local_models.llama.tools.hermes import HERMES
from local_models.llama.tools.llama3 import LLAMA3
from local_models.llama.tools.markers import MarkerWatch
from local_models.llama.tools.mistral import MISTRAL
from local_models.llama.tools.notation import Notation
from local_models.llama.tools.reader import Arguments, CallBegins, CallReader, Text
from local_models.llama.tools.trigger import Begun, Trigger, Triggers
from local_models.llama.turns import Call, Tool
from tests.llama.validity import valid
from tests.llama.walker import Walker

SCHEMAS: dict[str, Any] = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 6}, "unit": {"enum": ["c", "f"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "get_water": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}},
    "get": {"type": "object", "properties": {}},
    "add-2": {
        "anyOf": [
            {"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"], "additionalProperties": False},
            {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"], "additionalProperties": False},
        ]
    },
}
TOOLS = (*(Tool(name, None, json.dumps(schema).encode()) for name, schema in SCHEMAS.items()), Tool("now"))
ODD = Tool("odd", None, b'{"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}}')


@pytest.fixture(scope="module")
def walker(model: Model) -> Walker:
    """Walks over the default model's vocabulary."""
    return Walker(model.vocabulary)


def texts(walker: Walker, rules: CallRules, notation: Notation, marker: str | None = None) -> list[str]:
    """Some complete texts of a grammar of calls."""
    compiled = Grammar.compile(walker.vocabulary, call_grammar(rules, notation, marker))
    found = (walker.write(compiled.fork(), random.Random(seed), limit=300) for seed in range(3))
    return [text for text in found if text is not None]


def calls(notation: Notation, text: str) -> list[tuple[str, str]]:
    """The calls in a text that has nothing else."""
    reader = CallReader(notation)
    found: list[tuple[str, str]] = []
    for piece in reader.feed(text) + reader.finish():
        assert not isinstance(piece, Text), text
        if isinstance(piece, CallBegins):
            found.append((piece.name, ""))
        elif isinstance(piece, Arguments):
            found[-1] = (found[-1][0], found[-1][1] + piece.text)
    return found


def accepts(model: Model, grammar: str, text: str) -> bool:
    """Is the text, and its end after it, what the grammar allows?"""
    state = Grammar.compile(model.vocabulary, grammar)
    for token in model.vocabulary.tokenize(text, add_special=False, parse_special=False):
        if not state.allows(token):
            return False
        state.accept(token)
    return any(state.allows(token) for token in model.vocabulary.ends)


def holds(name: str, arguments: str) -> bool:
    """Are these arguments what the tool takes?"""
    value = json.loads(arguments)
    return value == {} if name in ("now", "get") else valid(value, SCHEMAS[name], SCHEMAS[name])


@pytest.mark.parametrize("notation", FAMILIES, ids=lambda family: family.name)
def test_forced_texts_are_valid_calls(walker: Walker, notation: Notation) -> None:
    """Of tools that exist, with arguments that their schemas allow."""
    found = [calls(notation, text) for text in texts(walker, CallRules(TOOLS, 3), notation)]
    assert found
    assert all(some for some in found)
    assert all(holds(name, arguments) for some in found for name, arguments in some)


@pytest.mark.parametrize("notation", FAMILIES, ids=lambda family: family.name)
def test_no_more_calls_than_allowed_and_none_is_too_few(model: Model, notation: Notation) -> None:
    """Two calls are an answer where two are allowed and none where one is; words are no answer at all."""
    one, two = (notation.written([Call("", "add-2", '{"k": "a"}')] * count) for count in (1, 2))
    several, single = (call_grammar(CallRules(TOOLS, most), notation) for most in (2, 1))
    assert [accepts(model, several, text) for text in (one, two, "", "Sure.")] == [True, True, False, False]
    assert [accepts(model, single, text) for text in (one, two)] == [True, False]


@pytest.mark.parametrize(
    ("name", "arguments", "right"),
    [
        ("get_weather", '{"city": "Rome"}', True),
        ("get_weather", '{"city": "Rome", "unit": "k"}', False),
        ("get_weather", "{}", False),
        ("get_water", '{"n": 12}', True),
        ("get_water", '{"n": "12"}', False),
        ("get", "{}", True),
        ("get", '{"a": 1}', False),
        ("now", "{}", True),
        ("now", '{"a": 1}', False),
        ("add-2", '{"k": "b"}', True),
        ("add-2", '{"k": "c"}', False),
        ("get_wea", "{}", False),
        ("rm", "{}", False),
    ],
)
def test_only_known_tools_with_arguments_of_their_own(model: Model, name: str, arguments: str, *, right: bool) -> None:
    """A name that begins another's is told apart, and each name has its own arguments."""
    grammar = call_grammar(CallRules(TOOLS), HERMES)
    assert accepts(model, grammar, HERMES.written([Call("", name, arguments)])) is right


@pytest.mark.parametrize("notation", FAMILIES, ids=lambda family: family.name)
def test_what_follows_a_marker_completes_a_call(walker: Walker, notation: Notation) -> None:
    """A free answer comes under the grammar there: marker and text together are calls, for each of the markers."""
    for marker in notation.markers:
        found = texts(walker, CallRules(TOOLS, 2), notation, marker)
        assert found
        for text in found:
            assert all(holds(name, arguments) for name, arguments in calls(notation, marker + text))


def test_an_answer_may_be_json_instead_where_that_was_asked_for(model: Model) -> None:
    """Calls, or a text of the response format."""
    call = HERMES.written([Call("", "now", "{}")])
    any_object, one_word = (
        call_grammar(CallRules(TOOLS, beside=beside), HERMES) for beside in (b"", b'{"const":"no"}')
    )
    assert [accepts(model, any_object, text) for text in (call, '{"a": 1}', '"no"')] == [True, True, False]
    assert [accepts(model, one_word, text) for text in (call, '{"a": 1}', '"no"')] == [True, False, True]


def test_a_schema_beyond_any_grammar_is_refused_where_a_call_is_forced_and_any_object_elsewhere(walker: Walker) -> None:
    """Nobody who forces a call may be given one that breaks its schema; who leaves it free gets the gateway's check."""
    with pytest.raises(SchemaError, match="tool odd: keyword 'uniqueItems' cannot be enforced"):
        call_grammar(CallRules((ODD,)), HERMES)
    found = [calls(HERMES, text) for text in texts(walker, CallRules((ODD,), loose=True), HERMES)]
    assert found
    assert all(isinstance(json.loads(arguments), dict) for ((_, arguments),) in found)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        (b'{"type": "string"}', "tool t: parameters must describe an object"),
        (b'{"anyOf": [{"type": "object"}, {"type": "null"}]}', "tool t: parameters must describe an object"),
        (b'{"type": "object", "properties": 3}', "tool t: "),
        (b"[" * 5_000, "tool t: the schema is not JSON"),
    ],
)
@pytest.mark.parametrize("loose", [True, False])
def test_parameters_that_are_wrong_are_refused_always(parameters: bytes, why: str, *, loose: bool) -> None:
    """What no answer can satisfy is a fault of the request, forced or not."""
    with pytest.raises(SchemaError, match=why):
        call_grammar(CallRules((Tool("t", None, parameters),), loose=loose), HERMES)


def test_all_tools_share_the_limits_of_one_schema() -> None:
    """128 tools, each within the limits, do not buy 128 times the work."""
    big = json.dumps({"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(120)}}).encode()
    call_grammar(CallRules((Tool("t", None, big),)), HERMES)
    begin = time.process_time()
    with pytest.raises(SchemaError, match="limit"):
        call_grammar(CallRules(tuple(Tool(f"t{n}", None, big) for n in range(128))), HERMES)
    assert time.process_time() - begin < 0.5


def begun(model: Model, notation: Notation, pieces: list[str]) -> tuple[Begun | None, int]:
    """What a trigger says of an answer in these pieces, each of which is one token, and at which of them."""
    vocabulary, rules = model.vocabulary, CallRules(TOOLS[:1])
    grammars = {
        marker: Grammar.compile(vocabulary, call_grammar(rules, notation, marker)) for marker in notation.markers
    }
    trigger = Trigger(Triggers(notation, grammars), vocabulary)
    for place, piece in enumerate(pieces):
        token = vocabulary.pieces.index(piece.encode())
        if (found := trigger.feed(token, piece.encode())) is not None:
            return found, place
    return None, len(pieces)


def test_a_free_answer_comes_under_the_grammar_where_its_call_begins(model: Model) -> None:
    """At the token that completes the marker, which stays when the grammar allows what else it says."""
    found, place = begun(model, HERMES, ["Hi", " <", "tool", "_", "call", ">"])
    assert found is not None
    assert (place, found.tokens) == (5, (model.vocabulary.pieces.index(b">"),))
    newline, word = model.vocabulary.pieces.index(b"\n"), model.vocabulary.pieces.index(b"Hi")
    assert (found.grammar.allows(newline), found.grammar.allows(word)) == (True, False)


def test_a_token_that_says_too_much_is_cut_at_the_marker(model: Model) -> None:
    """The model is given the marker alone, and goes on under the grammar."""
    found, _ = begun(model, HERMES, ["<", "tool", "_", "call", '>"'])
    assert found is not None
    assert b"".join(model.vocabulary.pieces[token] for token in found.tokens) == b">"


def test_a_bare_object_begins_a_call_at_the_start_only(model: Model) -> None:
    """Llama's calls have no marker of their own: further on an object is an example."""
    assert begun(model, LLAMA3, ["\n", '{"', "name", '"'])[0] is not None
    assert begun(model, LLAMA3, ["See", '{"', "name", '"'])[0] is None


def test_markers_are_found_across_pieces_and_what_may_become_one_is_held() -> None:
    """`held` is how much of the end must not go out yet."""
    watch = MarkerWatch(MISTRAL)
    assert watch.feed("a [TOOL") is None
    assert watch.held == 5
    assert watch.feed("s [TOOL_CALLS") is None
    found = watch.feed("] x")
    assert found is not None
    assert (found.marker, found.end) == ("[TOOL_CALLS]", 1)
