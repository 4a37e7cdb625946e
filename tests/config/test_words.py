"""How problems name keys and values, and which name they suggest."""

import pytest

from gateway.config import outline
from gateway.config.errors import ConfigError, Problem
from gateway.config.findings import NOT_SHOWN, dotted, quoted, related, within
from gateway.config.schema import Backend, Config, Timeouts
from gateway.config.suggest import nearest


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("prize", ("price", "provider"), "price"),
        ("url", ("base_url", "model"), "base_url"),
        ("Api-Key", ("api_key", "model"), "api_key"),
        ("regoin", ("region", "engine"), "region"),
        ("maxAttempts", ("max_attempts", "max_cost_usd"), "max_attempts"),
        ("lite", ("light", "mid", "premium"), "light"),
        ("zzz", ("light", "mid"), None),
        ("", ("light",), None),
        ("light", ("light",), None),
        ("x" * 65, ("x" * 64,), None),
        ("light", (), None),
    ],
)
def test_the_nearest_name(word: str, known: tuple[str, ...], expected: str | None) -> None:
    """Likeness regardless of case and separators; nothing where nothing is near."""
    assert nearest(word, known) == expected


def test_the_order_of_names_does_not_matter() -> None:
    """Of two equally near names it is always the same one."""
    assert nearest("eu-wezt", ("eu-wert", "eu-west")) == nearest("eu-wezt", ("eu-west", "eu-wert"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", '"plain"'),
        ('say "hi"', r'"say \"hi\""'),
        ("two\nlines\x1b[31m\u2028", r'"two\nlines\u001b[31m\u2028"'),
        ("Zürich", '"Zürich"'),
        ("m" * 61, '"' + "m" * 59 + '…"'),
        ("${OPENAI_API_KEY}", '"${OPENAI_API_KEY}"'),
        ("claude-sonnet-4-5-20250929", '"claude-sonnet-4-5-20250929"'),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", '"Qwen/Qwen3-235B-A22B-Instruct-2507-FP8"'),
        ("sk-proj-abc", NOT_SHOWN),
        ("Bearer abc", NOT_SHOWN),
        ("https://me:hush@host", NOT_SHOWN),
        ("my password is", NOT_SHOWN),
        ("Xk29fjQ8dLwPz71mNvB3sRt0", NOT_SHOWN),
    ],
)
def test_values_are_shown_in_one_line_or_not_at_all(text: str, shown: str) -> None:
    """Printable, short, and nothing like a secret: a key pasted into the wrong place is not repeated."""
    assert quoted(text) == shown


def test_paths_read_as_people_write_them() -> None:
    """Dots between keys, brackets for items, quotes where a dot would mislead."""
    assert dotted(("tiers", "light", 0)) == "tiers.light[0]"
    assert dotted(("aliases", "gpt-4.1")) == 'aliases."gpt-4.1"'
    assert dotted(("apikey",)) == "apikey"
    assert dotted(("backends", "sk-abc", "x")) == f"backends.{NOT_SHOWN}.x"
    assert dotted(("api_key:hunter2",)) == NOT_SHOWN
    assert dotted(()) == ""


def test_related_paths() -> None:
    """A path is related to what it lies in and to what lies in it, not to its neighbours."""
    damaged = frozenset({("a", "b", "c")})
    around = within(damaged)
    assert all(related(path, damaged, around) for path in (("a",), ("a", "b", "c"), ("a", "b", "c", 0)))
    assert not any(related(path, damaged, around) for path in (("b",), ("a", "c"), ("a", "b", "d")))


def test_a_problem_is_one_line() -> None:
    """File and line first, as editors and terminals expect them; what is not known is left out."""
    problem = Problem(file="f.yaml", line=14, column=3, key="a.prize", message="unknown key", suggestion="price")
    bare = Problem(file="f.yaml", line=None, column=None, key="", message="there is no such file")
    assert str(problem) == 'f.yaml:14: a.prize: unknown key; did you mean "price"?'
    assert str(ConfigError([problem, bare])) == f"{problem}\nf.yaml: there is no such file"


def test_the_outline_follows_the_schema() -> None:
    """Sections are found through names of one's own, lists and optional values; other places have none."""
    assert outline.section_at(("backends", "any.name", "timeouts")) is Timeouts
    assert outline.section_at(("backends", "mini")) is Backend
    assert outline.section_at(("backends",)) is None
    assert outline.section_at(("tenants", "x", "keys", 3)) is not None
    assert outline.section_at(("nowhere", "at", "all")) is None
    assert "class" in outline.keys(outline.section_at(("tenants", "x")) or Config)
    assert outline.purpose(("server", "region")) == "The region this box stands in, and with it its engines."
    assert outline.purpose(("nowhere",)) is None
