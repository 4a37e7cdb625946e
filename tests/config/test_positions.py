"""Reading YAML: where things stand, what YAML 1.1 makes of words, and files made to hurt."""

import time

import pytest

from gateway.config.findings import Mark
from gateway.config.positions import read
from gateway.config.syntax import MAX_DEPTH, MAX_VALUES, Illegible


def said_of(text: str) -> list[str]:
    """The findings on a text, as `line: message`."""
    document = read(text)
    return [f"{(f.mark or document.place(f.path).value).line}: {f.message}" for f in document.findings]


def refusal_of(text: str) -> str:
    """Why there is no tree in a text, as `line: message`."""
    with pytest.raises(Illegible) as raised:
        read(text)
    return f"{raised.value.mark.line}: {raised.value.message}"


def test_every_key_and_value_has_its_place() -> None:
    """Lines and columns count from 1, in blocks, lists and one-line mappings alike."""
    document = read("a: 1\nb:\n  - x\n  - {c: [2, 3]}\n")
    assert document.tree == {"a": 1, "b": ["x", {"c": [2, 3]}]}
    assert document.place(("a",)).value == Mark(1, 4)
    assert document.place(("b",)).key == Mark(2, 1)
    assert document.place(("b", 1, "c", 1)).value == Mark(4, 13)
    assert document.place(("b", 1, "d")).key is None
    assert document.place(("b", 1, "d")).value == Mark(4, 5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("0", 0),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b11", 3),
        ("2.50", 2.5),
        ("1.5e+3", 1500.0),
        ("1e9", "1e9"),
        ("'12:30'", "12:30"),
        ('"no"', "no"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("x y", "x y"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_plain_words_become_what_they_say(text: str, value: object) -> None:
    """YAML 1.1's readings are kept wherever they cannot surprise."""
    document = read(f"key: {text}\n")
    assert document.findings == ()
    assert document.tree["key"] == value
    assert type(document.tree["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("12:30", '"12:30" is a number to base sixty to YAML; quote it'),
        ("1:30.5", '"1:30.5" is a number to base sixty to YAML; quote it'),
        ("010", '"010" is a number to base eight to YAML; leave out the leading zero, or quote it'),
        ("2026-01-31", '"2026-01-31" is a date to YAML; quote it'),
        (".inf", "expected a finite number"),
        (".nan", "expected a finite number"),
        ("1.0e+999", "expected a finite number"),
        ("9" * 19, "a number with too many digits"),
        ("!!int five", "expected a whole number"),
        ("!!float five", "expected a number"),
        ("!!bool maybe", "expected true or false"),
        ("!secret x", "expected a plain value; YAML tags (!) and the sign = have no use here, so quote the text"),
        ("!!binary aGk=", "expected a plain value; YAML tags (!) and the sign = have no use here, so quote the text"),
        ("=", "expected a plain value; YAML tags (!) and the sign = have no use here, so quote the text"),
        ("!!set {a, b}", "expected a plain value; YAML tags (!) have no use here"),
        ('"\\ud800"', "an escape that stands for no character"),
        ('"\\0"', "an escape that stands for no character"),
    ],
)
def test_words_that_mean_something_else_are_refused(text: str, said: str) -> None:
    """What YAML 1.1 reads behind the writer's back is a finding on its line, wherever it stands."""
    assert said_of(f"a: 1\nkey: {text}\n") == [f"2: {said}"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("on", "YAML does not read this key as text but as true; quote it"),
        ("no", "YAML does not read this key as text but as false; quote it"),
        ("12:30", "YAML does not read this key as text but as a number; quote it"),
        ("1", "YAML does not read this key as text but as a number; quote it"),
        ("1.5", "YAML does not read this key as text but as a number; quote it"),
        ("~", "YAML does not read this key as text but as nothing; quote it"),
        ("2026-01-31", "YAML does not read this key as text but as a date; quote it"),
        ("=", "YAML does not read this key as text; quote it"),
        ("? [a, b]\n", "expected a plain word as key, found a list or a mapping"),
        ("${NAME}", "keys are taken as they are: ${…} stands in values only"),
    ],
)
def test_keys_are_text(key: str, said: str) -> None:
    """A key that YAML reads as something else is named with its line; quoted, it is fine."""
    assert said_of(f"a: 1\n{key}: x\n") == [f"2: {said}"]


def test_a_quoted_key_is_text() -> None:
    """The advice to quote a key helps."""
    assert read('"on": 1\n"12": 2\n').tree == {"on": 1, "12": 2}


def test_a_key_twice_is_refused() -> None:
    """PyYAML would keep the last one and say nothing."""
    assert said_of("a:\n  x: 1\n  y: 2\n  x: 3\n") == ["4: appears twice; the first is on line 2"]
    assert read("a:\n  x: 1\n  x: 3\n").tree == {"a": {"x": 1}}


def test_the_same_key_twice_in_another_spelling_is_refused() -> None:
    """Quoting does not make another key of it."""
    assert said_of('"x": 1\nx: 3\n') == ["2: appears twice; the first is on line 1"]


def test_anchors_are_allowed() -> None:
    """What several backends share may be written once; places are those of the first writing's content."""
    document = read("a: &p {x: 1}\nb: *p\nc:\n  <<: *p\n  y: 2\nd:\n  <<: [*p, {z: 3}]\n  x: 9\n")
    assert document.findings == ()
    assert document.tree == {"a": {"x": 1}, "b": {"x": 1}, "c": {"y": 2, "x": 1}, "d": {"x": 9, "z": 3}}
    assert document.place(("c", "x")).value.line == 1


def test_only_mappings_are_merged() -> None:
    """`<<` with anything else is a mistake."""
    assert said_of("a: &p 5\nb:\n  <<: *p\n") == ["1: expected the alias (*) of a mapping above"]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a {b: {c: *a}}\n",
        "&r\na: *r\n",
    ],
)
def test_an_alias_within_itself_is_refused(text: str) -> None:
    """A value that contains itself has no end."""
    assert refusal_of(text) == "1: an alias (*) within what it stands for"


def test_a_mapping_that_merges_itself_is_refused() -> None:
    """So has a mapping that is merged into itself."""
    assert said_of("a: &a\n  <<: *a\n  b: 1\n") == ["1: expected the alias (*) of a mapping above"]


def test_alias_bombs_do_not_go_off() -> None:
    """A few lines that stand for a thousand million values are refused at once."""
    lines = ["a0: &a0 [x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    started = time.monotonic()
    assert "values, aliases included" in refusal_of("\n".join(lines) + "\n")
    assert time.monotonic() - started < 5


def test_merge_bombs_do_not_go_off() -> None:
    """Merging counts as well: each level names the one before ten times."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "values, aliases included" in refusal_of("\n".join(lines) + "\n")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_deep_nesting_is_refused_at_once(text: str) -> None:
    """A hundred thousand levels cost neither the stack nor minutes."""
    started = time.monotonic()
    assert "levels of nesting" in refusal_of(text)
    assert time.monotonic() - started < 5


def test_aliases_cannot_nest_deeper_than_brackets() -> None:
    """A chain of aliases is as deep as what it stands for."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [[[[*a{n - 1}]]]]" for n in range(1, MAX_DEPTH))]
    assert "levels of nesting, aliases included" in refusal_of("\n".join(lines) + "\n")


def test_many_values_are_refused() -> None:
    """No configuration has as many."""
    assert f"more than {MAX_VALUES} values" in refusal_of("a: [" + "1, " * (2 * MAX_VALUES) + "1]\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n\tb: 2\n", "2: a tab; indent with spaces"),
        ("a:\tb\n", "1: a tab; indent with spaces"),
        ("a: b: c\n", "1: a second colon in one line, or wrong indentation; quote the text"),
        ("a: @b\n", "1: a character no value can begin with; quote the text"),
        ("a: 1\nword\nb: 2\n", "2: a line that is no `key: value`; is the colon and the space there?"),
        ("a: 1\nb: 'x\nc: 2\n", "2: a quotation mark that is never closed"),
        ('a: "x\n---\n"\n', "1: a quotation mark that is never closed"),
        ('a: "\\q"\n', "1: an unknown escape; within '…' a backslash is just a backslash"),
        ('a: "\\xZZ"\n', "1: an incomplete escape; within '…' a backslash is just a backslash"),
        ('a: "\\UFFFFFFFF"\n', "1: an escape that stands for no character"),
        ("a:\n    b: 1\n  c: 2\n", "3: indentation that fits none of the lines above"),
        ("a: {b: 1\nc: 2\n", "2: expected , or } here; is a comma, a brace or a quotation mark missing?"),
        ("a: [1 [2]]\n", "1: expected , or ] here; is a comma, a bracket or a quotation mark missing?"),
        ("a: ]\n", "1: expected a value here"),
        ("a: - b\n", "1: a list item where none can stand; is its indentation right?"),
        ("a: 1\n---\nb: 2\n", "2: a second document; a file holds one, so remove the line ---"),
        ("  a: 1\nb: 2\n", "2: text outside of the document; is a key not at the beginning of its line?"),
        ("a: *b\n", "1: an alias (*) whose anchor (&) is not above it; quote text that begins with *"),
        ("a: &x 1\nb: &x 2\n", "2: an anchor (&) that is defined twice"),
        ("a: \x07\n", "1: the character U+0007, which text files do not have"),
        ("a: 1\nb: \ue041\n", "2: the character U+E041, which text files do not have"),
        ("%YAML 3.0\n---\na: 1\n", "1: no valid YAML"),
    ],
)
def test_broken_yaml_is_explained(text: str, said: str) -> None:
    """PyYAML's complaints, in plain words and on the line where the mistake is."""
    assert refusal_of(text) == said


@pytest.mark.parametrize(
    "reference",
    ["${NAME}", "${NAME:-https://a.example/v1}", "${NAME:-a, b: [c] #d}", "x-${NAME}-${OTHER:-}", "$${NAME}"],
)
@pytest.mark.parametrize("frame", ["a: {}\n", "a: {{x: {}, y: 1}}\n", "a: [1, {}]\n", "a: '{}'\n", 'a: "{}"\n'])
def test_references_need_no_quotes(frame: str, reference: str) -> None:
    """`${NAME}` is one text wherever it stands, in one-line mappings too, where YAML would see braces."""
    tree = read(frame.format(reference)).tree["a"]
    value = tree["x"] if isinstance(tree, dict) else tree[1] if isinstance(tree, list) else tree
    assert value == reference


def test_columns_survive_references() -> None:
    """What stands behind a reference is still found."""
    assert read("a: {x: ${NAME:-d}, yy: 1}\n").place(("a", "yy")).key == Mark(1, 20)
