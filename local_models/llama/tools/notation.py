"""How a family of models writes calls of tools, as a few texts. One family a module; `families` lists them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from local_models.llama.turns import Call


@dataclass(frozen=True, slots=True)
class Notation:
    """The texts around and inside calls: a marker, `opening`, call, `between`, call, …, `closing`.

    A call is the tool's name between the two parts of `heading`, its arguments, and `tail`. The first of `markers` is
    the one to write; any of them begins the calls, with `at_start` only where nothing but white space stands before.
    A marker that is itself the beginning of a call is only a sign, and nothing but the call is written.
    """

    name: str
    markers: tuple[str, ...]
    heading: tuple[str, str]
    tail: str
    opening: str = ""
    between: str = ""
    closing: str = ""
    at_start: bool = False
    quoted: bool = True
    """The name stands there as a JSON string."""
    control: tuple[str, ...] = ()
    """Further texts that may be control tokens of the vocabulary; the markers are looked for anyway."""
    short_ids: bool = False
    """Templates of this family refuse call ids that are not nine letters or digits."""

    def head(self, tool: str) -> str:
        """A call up to its arguments."""
        before, after = self.heading
        return f"{before}{json.dumps(tool, ensure_ascii=False) if self.quoted else tool}{after}"

    def lead(self, marker: str) -> str:
        """What stands between the beginning of the calls and the first one, the marker included."""
        return "" if self.begins_call(marker) else marker + self.opening

    def begins_call(self, marker: str) -> bool:
        """Is the marker the beginning of a call itself?"""
        return self.heading[0].startswith(marker)

    def written(self, calls: Sequence[Call]) -> str:
        """The calls as the model would write them. `arguments` go in as they are."""
        bodies = (f"{self.head(call.name)}{call.arguments}{self.tail}" for call in calls)
        return f"{self.lead(self.markers[0])}{self.between.join(bodies)}{self.closing}"
