"""Which family writes calls the way a template does: told by a conversation that the template has written out."""

import re
from typing import Final

from local_models.llama.tools.hermes import HERMES
from local_models.llama.tools.llama3 import LLAMA3
from local_models.llama.tools.mistral import MISTRAL, MISTRAL_ARGS
from local_models.llama.tools.notation import Notation
from local_models.llama.turns import Call

FAMILIES: Final = (HERMES, MISTRAL, MISTRAL_ARGS, LLAMA3)
"""Those with a marker of their own come first: a bare call also stands inside theirs."""

_SPACE: Final = re.compile(r"\s+")


def family_of(text: str, call: Call) -> Notation | None:
    """The family in whose way `call` is written out in `text`, a rendered conversation; None when in none.

    White space does not count, nor what follows the arguments: some templates add an id there.
    """
    squeezed = _SPACE.sub("", text)
    for family in FAMILIES:
        beginning = f"{family.lead(family.markers[0])}{family.head(call.name)}{call.arguments}"
        if _SPACE.sub("", beginning) in squeezed:
            return family
    return None
