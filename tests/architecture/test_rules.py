"""The project keeps its rules, and each rule is shown to be able to fail."""

import pytest

from tests.architecture import rules_edge, rules_handlers, rules_module_level, rules_shape, rules_tests
from tests.architecture.rule import Rule, broken_by
from tests.architecture.source import SourceTree, parse, tree_of

RULES = (
    *rules_shape.RULES,
    *rules_module_level.RULES,
    *rules_handlers.RULES,
    *rules_edge.RULES,
    *rules_tests.RULES,
)
BAD = tuple((rule, sample) for rule in RULES for sample in rule.bad)
GOOD = tuple((rule, sample) for rule in RULES for sample in rule.good)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_project_keeps_the_rule(rule: Rule, tree: SourceTree) -> None:
    """No file breaks the rule."""
    broken = broken_by(rule, tree)
    assert not broken, "\n".join([f"{rule.name}: {rule.why}", *broken])


@pytest.mark.parametrize("number", range(len(BAD)), ids=lambda number: f"{BAD[number][0].name}-{number}")
def test_the_rule_can_fail(number: int) -> None:
    """Each bad sample is objected to, so that a rule that holds means something."""
    rule, sample = BAD[number]
    room = sample.path.partition("/")[0]
    sampled = rule._replace(rooms=(room,))
    assert broken_by(sampled, tree_of([parse(sample.path, sample.text)]))


@pytest.mark.parametrize("number", range(len(GOOD)), ids=lambda number: f"{GOOD[number][0].name}-{number}")
def test_the_rule_lets_good_code_pass(number: int) -> None:
    """No good sample is objected to, so that nobody works around a rule that is too wide."""
    rule, sample = GOOD[number]
    room = sample.path.partition("/")[0]
    sampled = rule._replace(rooms=(room,))
    assert not broken_by(sampled, tree_of([parse(sample.path, sample.text)]))


def test_the_project_is_really_read(tree: SourceTree) -> None:
    """The rules look at the product's own files: an empty tree would keep every rule."""
    rooms = {file.room for file in tree.files}
    assert rooms == {"gateway", "local_models", "scripts", "tests"}
    assert any(file.path == "gateway/errors.py" for file in tree.files)
