"""What no single key can be blamed for: rules over several keys, one function each.

Every rule is a pure function from a Config that satisfies the schema to its findings. A finding names in `depends` the
other keys it was drawn from, so that it is left out where one of those is at fault itself.
"""

from collections.abc import Iterator

from gateway.config.findings import Finding
from gateway.config.rules import access, backends, engines, names, residency
from gateway.config.schema import Config


def findings(config: Config) -> Iterator[Finding]:
    """All findings of all rules."""
    for room in (engines, backends, names, residency, access):
        for rule in room.RULES:
            yield from rule(config)
