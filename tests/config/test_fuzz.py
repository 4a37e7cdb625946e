"""Whatever is done to a valid file, the answer is a Config or a ConfigError with lines; and secrets stay secret."""

import string
from collections.abc import Callable
from copy import deepcopy

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.config.errors import ConfigError
from gateway.config.load import MAX_PROBLEMS, parse
from gateway.config.schema import Config
from tests.config.files import CONFIGS, ENVIRON, FILE, VALID, lines_of

FILES = (VALID, *((CONFIGS / name).read_text("utf-8") for name in ("gpu-node.yaml", "two-region-company.yaml")))
PLENTY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Tree = dict[str, object] | list[object]

ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["any", "light", "auto", "local", "eu", "${KEY}", "${NOPE}", "12:30", "no", "http://h:99999", "*"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    st.just([[[{}]]]),
)


def judged(content: bytes) -> Config | ConfigError:
    """What `parse` makes of a file: nothing else may come out of it."""
    try:
        config = parse(content, FILE, ENVIRON)
    except ConfigError as error:
        assert_located(error, content)
        return error
    return config


def assert_located(error: ConfigError, content: bytes) -> None:
    """Every problem is one line, and points into the file."""
    line_count = max(1, len(content.decode("utf-8", "replace").splitlines()))
    assert 0 < len(error.problems) <= MAX_PROBLEMS + 1
    assert len(str(error).split("\n")) == len(error.problems)
    for problem in error.problems:
        assert problem.line is not None
        assert problem.column is not None
        assert 1 <= problem.line <= line_count + 1
        assert problem.column >= 1
        assert ENVIRON["KEY"] not in str(problem)


def places(tree: object) -> list[tuple[Tree, str | int]]:
    """Every key and item of a tree, with what holds it."""
    found: list[tuple[Tree, str | int]] = []
    if isinstance(tree, dict):
        found += [(tree, name) for name in tree]
        found += [place for value in tree.values() for place in places(value)]
    elif isinstance(tree, list):
        found += [(tree, index) for index in range(len(tree))]
        found += [place for value in tree for place in places(value)]
    return found


def put(holder: Tree, where: str | int, value: object) -> None:
    """Replace a value."""
    if isinstance(holder, dict):
        holder[str(where)] = value
    elif isinstance(where, int):
        holder[where] = value


def mutation(draw: st.DrawFn) -> Callable[[Tree, str | int], None]:
    """Delete, rename, retype or move one value."""
    kind = draw(st.sampled_from(["delete", "rename", "retype", "nest"]))
    # A copy: later mutations may change what this one puts in, and the strategy would hand it out again.
    odd, name = deepcopy(draw(ODD_VALUES)), draw(st.text(string.ascii_letters + "_ .:*$\u00e9", max_size=12))

    def mutate(holder: Tree, where: str | int) -> None:
        if kind == "retype" or (isinstance(holder, list) and kind == "rename"):
            put(holder, where, odd)
        elif kind == "nest":
            put(holder, where, {name: odd})
        elif isinstance(holder, dict):
            value = holder.pop(str(where))
            if kind == "rename":
                holder[name] = value
        elif isinstance(where, int):
            holder.pop(where)

    return mutate


@st.composite
def spoilt_files(draw: st.DrawFn) -> bytes:
    """A valid file after one to four mutations, written out again."""
    tree = yaml.safe_load(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(min_value=1, max_value=4))):
        candidates = places(tree)
        if not candidates:
            break
        holder, where = candidates[draw(st.integers(min_value=0, max_value=len(candidates) - 1))]
        mutation(draw)(holder, where)
    written: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=draw(st.booleans()))
    return written.encode("utf-8", "surrogatepass")


@PLENTY
@given(spoilt_files())
def test_a_mutated_file_is_a_config_or_problems_with_lines(content: bytes) -> None:
    """Deleted, renamed, retyped and nested values never raise anything but ConfigError."""
    assert judged(content) is not None


@PLENTY
@given(st.sampled_from(FILES), st.integers(min_value=0), st.binary(max_size=12), st.integers(min_value=0, max_value=40))
@example(VALID, 60, b"\xff\xfe", 0)
@example(VALID, 60, b"\x00", 0)
@example(VALID, 60, b"*", 0)
@example(VALID, 60, b"&", 3)
@example(VALID, 60, b"!!python/object:os.system ", 0)
def test_garbage_in_a_file_is_a_config_or_problems_with_lines(text: str, at: int, garbage: bytes, cut: int) -> None:
    """Bytes put in, with some of the file cut away."""
    content = text.encode()
    start = at % len(content)
    assert judged(content[:start] + garbage + content[start + cut :]) is not None


@PLENTY
@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_problems_with_lines(content: bytes) -> None:
    """A file of another kind altogether."""
    assert judged(content) is not None


@PLENTY
@given(st.text(":-[]{}&*!|>'\"%@`#,?\n\t $abn01~=<.\\x", max_size=60))
def test_any_yaml_like_text_is_a_config_or_problems_with_lines(text: str) -> None:
    """Everything YAML gives a meaning, in any order."""
    assert judged(text.encode()) is not None


@PLENTY
@given(st.data(), st.text(string.ascii_letters + string.digits + "-_/+=.:@ \u00e9", max_size=40))
def test_a_secret_in_any_place_is_never_shown(data: st.DataObject, rest: str) -> None:
    """Put where a text stands, wherever that is, a variable's value is in no problem, nor a part of it."""
    mark = "Zq7"
    tree = yaml.safe_load(VALID)
    texts = [(holder, where) for holder, where in places(tree) if isinstance(_at(holder, where), str)]
    for index in data.draw(st.sets(st.integers(min_value=0, max_value=len(texts) - 1), min_size=1, max_size=4)):
        put(*texts[index], data.draw(st.sampled_from(["${SECRET}", "x${SECRET}", "http://${SECRET}:1/v1"])))
    content = yaml.safe_dump(tree, sort_keys=False).encode()
    said = "\n".join(lines_of(content, {**ENVIRON, "SECRET": mark + rest.strip()}))
    assert mark.lower() not in said.lower()


def _at(holder: Tree, where: str | int) -> object:
    return holder[str(where)] if isinstance(holder, dict) else holder[int(where)]
