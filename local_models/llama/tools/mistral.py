"""Mistral: a control token, then an array of calls, or since 2025 each call with the token before it."""

from typing import Final

from local_models.llama.tools.notation import Notation

_MARKER: Final = "[TOOL_CALLS]"

MISTRAL: Final = Notation(
    name="mistral",
    markers=(_MARKER,),
    opening=" [",
    heading=('{"name": ', ', "arguments": '),
    tail="}",
    between=", ",
    closing="]",
    short_ids=True,
)
MISTRAL_ARGS: Final = Notation(
    name="mistral-args",
    markers=(_MARKER,),
    heading=("", "[ARGS]"),
    tail="",
    between=_MARKER,
    quoted=False,
    control=("[ARGS]",),
    short_ids=True,
)
