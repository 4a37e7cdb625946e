"""How one backend wants its body: some models refuse `max_tokens`, a temperature, or logprobs."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.messages import JsonObject
from gateway.types import Priority


class Profile(Struct, frozen=True, kw_only=True):
    """`drop` first, then `defaults` for fields that are absent, then `rename`.

    `prioritised`: who is asked is an engine of ours that goes by the field `priority`; providers never see it.
    """

    rename: Mapping[str, str]
    drop: frozenset[str]
    defaults: Mapping[str, Any]
    prioritised: bool = False

    def prioritise(self, body: JsonObject, priority: Priority) -> None:
        """Say in `body` how urgent it is, where that is heeded and differs from what is said by saying nothing."""
        if self.prioritised and priority is not Priority.NORMAL:
            body["priority"] = priority.in_engines

    def shape(self, body: JsonObject) -> JsonObject:
        """`body` as this backend takes it."""
        shaped = {**self.defaults, **{name: value for name, value in body.items() if name not in self.drop}}
        for old, new in self.rename.items():
            if old in shaped:
                shaped[new] = shaped.pop(old)
        return shaped


PLAIN = Profile(rename={}, drop=frozenset(), defaults={})
