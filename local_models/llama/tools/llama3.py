"""Llama 3.1 and 3.2: the whole answer is the call, sometimes after a control token.

Several calls are parted by semicolons, as vLLM reads them; the models were trained on one at a time.
"""

from typing import Final

from local_models.llama.tools.notation import Notation

LLAMA3: Final = Notation(
    name="llama3",
    markers=('{"name"', "<|python_tag|>"),
    heading=('{"name": ', ', "parameters": '),
    tail="}",
    between="; ",
    at_start=True,
)
