"""What pydantic refuses, in plain words: what was expected, what was found, and the nearest thing that is valid."""

from pathlib import Path

import pytest
import yaml

from tests.config.files import VALID, config_of, edited, lines_of

CASES: tuple[tuple[str, str, str], ...] = tuple(
    (old, new, said) for old, new, said in yaml.safe_load((Path(__file__).parent / "refusals.yaml").read_text("utf-8"))
)


@pytest.mark.parametrize(("old", "new", "said"), CASES, ids=[said[:60] for _, _, said in CASES])
def test_every_refusal_is_in_plain_words(old: str, new: str, said: str) -> None:
    """One line with the line of the file, the key, what was expected and what was found."""
    assert said in lines_of(edited((old, new)))


def test_a_whole_file_of_another_program_is_refused_in_words() -> None:
    """Nothing of pydantic's own language gets through."""
    said = "\n".join(lines_of("model_list:\n  - model_name: gpt\n    litellm_params: {model: x}\ngeneral_settings:\n"))
    assert "unknown key" in said
    assert "Input should" not in said
    assert "validation error" not in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("price: {input: 0.25, output: 2.00}", "price: {input: 1, output: 2}"),
        ("price: {input: 0.25, output: 2.00}", 'price: {input: "0.25", output: 2}'),
        ("engine: small", "engine: small\n    region:\n    price:"),
        ("  region: eu-west\n", "  region: eu-west\n  drain_s: 5\n"),
    ],
)
def test_harmless_variety_is_accepted(old: str, new: str) -> None:
    """Whole numbers for decimals, quoted prices, optional keys without a value."""
    assert config_of(edited((old, new))) is not None


def test_the_valid_file_has_no_problems() -> None:
    """The file that all these cases spoil is itself valid."""
    assert lines_of(VALID) == []
