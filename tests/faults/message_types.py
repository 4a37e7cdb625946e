"""What Anthropic's API takes, by the request types of the official package, with no field that those do not know."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import anthropic.types
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

# Part of the API, and refused by models newer than the package's types, which have them no more.
OF_OLDER_MODELS = ("temperature", "top_p", "top_k")


class MessageTypes:
    """Checks bodies. Making one takes a moment."""

    def __init__(self) -> None:
        for kind in _typed_dicts():
            # Where the package says nothing itself; it lets more into schemas, for one.
            if "__pydantic_config__" not in vars(kind):
                kind.__pydantic_config__ = ConfigDict(extra="forbid")
        self._whole = TypeAdapter[Any](MessageCreateParamsNonStreaming)
        self._streamed = TypeAdapter[Any](MessageCreateParamsStreaming)
        self._counted = TypeAdapter[Any](anthropic.types.MessageCountTokensParams)
        self._block = TypeAdapter[Any](anthropic.types.ContentBlockParam)

    def problem(self, body: Mapping[str, Any], *, count: bool = False) -> str | None:
        """What is wrong with a body, beginning with where; None when nothing is."""
        known = {name: value for name, value in body.items() if count or name not in OF_OLDER_MODELS}
        adapter = self._counted if count else self._streamed if body.get("stream") else self._whole
        try:
            _all_of(adapter.validate_python(known))
            # The types of turns also let in what answers are made of, and those let in anything.
            for message in body["messages"]:
                blocks = message["content"] if isinstance(message["content"], list) else ()
                for block in blocks:
                    _all_of(self._block.validate_python(block))
        except ValidationError as error:
            first = error.errors()[0]
            return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        return None


def _typed_dicts() -> Iterable[Any]:
    for module in list(sys.modules.values()):
        if module.__name__.startswith("anthropic.types"):
            yield from (found for found in vars(module).values() if is_typeddict(found))


def _all_of(found: object) -> None:
    """pydantic checks an `Iterable` only as it is read."""
    if isinstance(found, Mapping):
        for value in found.values():
            _all_of(value)
    elif isinstance(found, Iterable) and not isinstance(found, str | bytes | BaseModel):
        for value in found:
            _all_of(value)
