"""What no single key can be blamed for: rules over several keys, one function each.

Every rule is a pure function from a Config that satisfies the schema to its findings. A finding names in `depends` the
other keys it was drawn from, so that it is left out where one of those is at fault itself.
"""

from collections.abc import Iterator

from gateway.config.findings import Finding
from gateway.config.rules.access import RULES as ACCESS
from gateway.config.rules.backends import RULES as BACKENDS
from gateway.config.rules.engines import RULES as ENGINES
from gateway.config.rules.lengths import RULES as LENGTHS
from gateway.config.rules.names import RULES as NAMES
from gateway.config.rules.residency import RULES as RESIDENCY
from gateway.config.rules.standbys import RULES as STANDBYS
from gateway.config.schema import Config

RULES = (*ENGINES, *STANDBYS, *BACKENDS, *NAMES, *RESIDENCY, *ACCESS, *LENGTHS)


def findings(config: Config) -> Iterator[Finding]:
    """All findings of all rules."""
    for rule in RULES:
        yield from rule(config)
