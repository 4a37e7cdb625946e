"""What a caller says beside the prompt: x-forebay-* headers, or the same words in the `metadata` of a body."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.errors import RequestError
from gateway.messages import Hints, JsonObject
from gateway.wire.fields import unknown_fields
from gateway.wire.validation import explain

Short = Annotated[str, Meta(max_length=256)]


class _HintFields(Struct):
    task: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    requires_reasoning: bool | None = None
    region: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    session: Short | None = None
    local_only: bool | None = None
    no_escalation: bool | None = None
    allow_fallback: bool | None = None


_HINT_FIELDS = frozenset(_HintFields.__struct_fields__)
_HEADER_PREFIX = "x-forebay-"


def read_hints(metadata: JsonObject, headers: dict[str, str]) -> tuple[Hints, list[str]]:
    """Hints of the headers and of the metadata object; a header wins over metadata of the same name."""
    if not metadata and not headers:
        return Hints(), []
    ignored = list(unknown_fields(metadata, _HINT_FIELDS, "metadata."))
    named = {name: value for name, value in metadata.items() if name in _HINT_FIELDS}
    source = dict.fromkeys(named, "metadata.")
    for name, value in headers.items():
        key = name.replace("-", "_")
        if key in _HINT_FIELDS:
            named[key] = value
            source[key] = _HEADER_PREFIX
    if not named:
        return Hints(), ignored
    try:
        # Lax: headers are text, and OpenAI's metadata holds strings only, so "true" must do for true.
        fields = msgspec.convert(named, _HintFields, strict=False)
    except msgspec.ValidationError as error:
        key, message = explain(error)
        param = source[key] + (key.replace("_", "-") if source[key] == _HEADER_PREFIX else key)
        raise RequestError(f"{param}: {message}", param=param) from error
    hints = Hints(
        task=fields.task,
        requires_reasoning=fields.requires_reasoning,
        region=fields.region,
        session=fields.session,
        local_only=bool(fields.local_only),
        no_escalation=bool(fields.no_escalation),
        allow_fallback=bool(fields.allow_fallback),
    )
    return hints, ignored
