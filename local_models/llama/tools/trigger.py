"""Notices that a free answer begins a call, so that from there on it is written under the grammar of calls."""

from collections.abc import Mapping
from dataclasses import dataclass

from local_models.llama.grammar import Grammar
from local_models.llama.model import Vocabulary
from local_models.llama.tools.markers import MarkerWatch
from local_models.llama.tools.notation import Notation


@dataclass(frozen=True, slots=True, eq=False)
class Triggers:
    """The grammar of what follows each marker of a notation; never advanced, only forked."""

    notation: Notation
    grammars: Mapping[str, Grammar]


@dataclass(frozen=True, slots=True)
class Begun:
    """A call begins. `tokens` go out instead of the one chosen, and what follows them stands under `grammar`."""

    tokens: tuple[int, ...]
    grammar: Grammar


class Trigger:
    """Watches one answer. Owned by the owner thread."""

    def __init__(self, triggers: Triggers, vocabulary: Vocabulary) -> None:
        self._triggers = triggers
        self._vocabulary = vocabulary
        self._watch = MarkerWatch(triggers.notation)

    def feed(self, token: int, piece: bytes) -> Begun | None:
        """Take note of a chosen token, whose text is `piece`; the call that begins in it, if one does.

        What the token says beyond the marker may be nothing the grammar allows. Then only as much of it goes out as
        belongs to the marker, spelled in other tokens: the model has not seen the chosen one yet.
        """
        # Markers are ASCII, so that bytes may pass for characters.
        found = self._watch.feed(piece.decode("latin-1"))
        if found is None:
            return None
        pattern = self._triggers.grammars[found.marker]
        grammar = pattern.fork()
        if self._follows(grammar, piece[found.end :]):
            return Begun((token,), grammar)
        tokens = self._vocabulary.spelled(piece[: found.end])
        return None if tokens is None else Begun(tokens, pattern.fork())

    def _follows(self, grammar: Grammar, rest: bytes) -> bool:
        """Move the grammar over `rest`; False when it does not allow that."""
        tokens = self._vocabulary.spelled(rest)
        for token in tokens or ():
            if not grammar.allows(token):
                return False
            grammar.accept(token)
        return tokens is not None
