"""Lengths: what is said of prompts and answers in several places must not contradict itself."""

from collections.abc import Iterator

from gateway.config.findings import Finding, Path, found
from gateway.config.promises import OutputLimits
from gateway.config.schema import Config


def defaults_are_allowed(config: Config) -> Iterator[Finding]:
    """A default above the maximum beside it would never hold."""
    for path, limits in _limits(config):
        default, highest = limits.default_output, limits.max_output
        if default is not None and highest is not None and default > highest:
            message = f"is above max_output, which is {highest}"
            yield found((*path, "default_output"), message, depends=((*path, "max_output"),))


def an_excess_can_happen(config: Config) -> Iterator[Finding]:
    """What becomes of a request for too much is no question where nothing is too much."""
    if config.policy.over_max_output == "refuse" and all(limits.max_output is None for _, limits in _limits(config)):
        yield found(("policy", "over_max_output"), "has no effect: no max_output is set, here, in a class or in a task")


def _limits(config: Config) -> Iterator[tuple[Path, OutputLimits]]:
    yield ("policy",), config.policy
    for name, sla in config.classes.items():
        yield ("classes", name), sla
    for name, task in config.tasks.items():
        yield ("tasks", name), task


RULES = (defaults_are_allowed, an_excess_can_happen)
