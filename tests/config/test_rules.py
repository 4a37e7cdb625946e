"""Rules over several keys: each spoils the valid file in one way, and says so in one line, and nothing else does.

The cases stand in `rules.yaml`: the rule, the pieces of the valid file that are replaced, and all that is said then.
"""

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from gateway.config.environment import substitute
from gateway.config.mend import validated
from gateway.config.positions import read
from gateway.config.rules import RULES, findings
from gateway.config.schema import Config
from tests.config.files import ENVIRON, VALID, config_of, edited, lines_of


class Case(BaseModel):
    """One way to break one rule, or with nothing said, one way to keep it narrowly."""

    rule: str
    replace: list[tuple[str, str]]
    said: list[str]

    @property
    def text(self) -> str:
        """The spoilt file."""
        return edited(*self.replace)


CASES = tuple(Case(**case) for case in yaml.safe_load((Path(__file__).parent / "rules.yaml").read_text("utf-8")))
BROKEN = tuple(case for case in CASES if case.said)
KEPT = tuple(case for case in CASES if not case.said)


def named(case: Case) -> str:
    """The rule, and what the case changes first."""
    return f"{case.rule}: {case.replace[0][1][:40]!r}"


def config_against_the_rules(text: str) -> Config:
    """What a file says as far as the schema goes."""
    config = validated(substitute(read(text).tree, ENVIRON).tree).config
    assert config is not None
    return config


@pytest.mark.parametrize("case", BROKEN, ids=named)
def test_a_broken_rule_says_so_in_one_line(case: Case) -> None:
    """The line of the file, the key, what is wrong; no other rule joins in."""
    assert lines_of(case.text) == case.said


@pytest.mark.parametrize("case", BROKEN, ids=named)
def test_it_is_that_rule_that_speaks(case: Case) -> None:
    """The rule the case is about finds something; without it the file would pass."""
    config = config_against_the_rules(case.text)
    rule = next(rule for rule in RULES if f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}" == case.rule)
    assert list(rule(config))


@pytest.mark.parametrize("case", KEPT, ids=named)
def test_what_comes_near_is_allowed(case: Case) -> None:
    """A rule does not reach further than it says."""
    assert lines_of(case.text) == []


def test_every_rule_has_a_case() -> None:
    """A rule nobody has seen fail may not be one."""
    names = {f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}" for rule in RULES}
    assert {case.rule for case in BROKEN} == names


def test_the_valid_file_keeps_all_rules() -> None:
    """What every case starts from is sound."""
    assert list(findings(config_of(VALID))) == []
