"""Which regions data may touch. Names match exactly: `eu-west-2` is not in a group that lists `eu-west`."""

from collections.abc import Iterable, Mapping


class Regions:
    """Region names and the groups that stand for several of them."""

    def __init__(self, groups: Mapping[str, Iterable[str]]) -> None:
        self._groups = {name: frozenset(members) for name, members in groups.items()}

    def expand(self, names: Iterable[str]) -> frozenset[str]:
        """The regions behind `names`. A name that is no group stands for itself, known or not."""
        return frozenset(region for name in names for region in self._groups.get(name, (name,)))


def narrow(allowed: frozenset[str] | None, wanted: frozenset[str] | None) -> frozenset[str] | None:
    """Both limits at once; None is no limit. Nothing in common is the empty set, which allows nothing."""
    if allowed is None:
        return wanted
    return allowed if wanted is None else allowed & wanted
