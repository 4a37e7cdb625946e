"""Hermes, Qwen and the many that were trained after them: every call in a pair of tags of its own."""

from typing import Final

from local_models.llama.tools.notation import Notation

HERMES: Final = Notation(
    name="hermes",
    markers=("<tool_call>",),
    opening="\n",
    heading=('{"name": ', ', "arguments": '),
    tail="}",
    between="\n</tool_call>\n<tool_call>\n",
    closing="\n</tool_call>",
    control=("</tool_call>",),
)
