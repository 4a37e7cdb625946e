"""Random texts of a grammar, over a real vocabulary."""

import random

import numpy as np

from local_models.llama.grammar import Grammar
from local_models.llama.model import Vocabulary

CLOSERS = (b'"', b"}", b"]", b",", b":", b'",', b'"}', b'":', b"{", b"[", b'{"', b"0", b"1", b"-", b".", b"a", b"e")


class Walker:
    """Writes texts that a grammar allows, at random, token by token."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.useful = np.array([token for token, piece in enumerate(vocabulary.pieces) if piece in CLOSERS])
        self.short = np.array([token for token, piece in enumerate(vocabulary.pieces) if 0 < len(piece) < 3])

    def write(self, grammar: Grammar, dice: random.Random, limit: int = 150) -> str | None:
        """A complete text, or None when it grew too long."""
        text = b""
        for _ in range(limit):
            some = np.array(dice.sample(range(self.vocabulary.size), 300))
            allowed = grammar.allowed(np.unique(np.concatenate((self.useful, some, list(self.vocabulary.ends)))))
            if not allowed.size:
                allowed = grammar.allowed(np.arange(self.vocabulary.size))
            assert allowed.size, f"nothing can follow {text!r}"
            if not self.vocabulary.ends.isdisjoint(allowed.tolist()):
                return text.decode()
            closing = allowed[np.isin(allowed, self.useful)]
            token = int(dice.choice((closing if closing.size and dice.random() < 0.7 else allowed).tolist()))
            assert grammar.allows(token)
            grammar.accept(token)
            text += self.vocabulary.pieces[token]
        return None
