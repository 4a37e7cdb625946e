"""The parts that decide, for a gateway and for whoever only wants to know what it would do.

None of them has a lifetime: no engine is started, no model need be installed, nothing is opened.
"""

from gateway.app import nouns
from gateway.classify import Classifier, Difficulty
from gateway.config.schema import Config
from gateway.decision import Decider
from gateway.policy import Policy, Regions


def decider(config: Config) -> Decider:
    """Policy, classification and routing as `config` has them."""
    return Decider(policy(config), classifier(config), nouns.routing_table(config))


def policy(config: Config) -> Policy:
    """The rules for everybody."""
    local_only = config.policy.local_only
    return Policy(Regions(config.regions), local_only=local_only, lengths=nouns.lengths(config))


def classifier(config: Config) -> Classifier:
    """The shipped judgement of difficulty, with the operator's task table."""
    return Classifier(Difficulty.shipped(), nouns.task_rules(config))
