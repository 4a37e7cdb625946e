"""A grammar as llama.cpp follows it. Accepting a token that is not allowed aborts the process: only `accept` tokens
that `allows` or `allowed` named since the last one.
"""

import ctypes
import weakref

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from local_models.llama.errors import SchemaError
from local_models.llama.model import Vocabulary


class Grammar:
    """The state of one answer under a grammar, or, never advanced, the pattern such states are forked from.

    The memory on llama.cpp's side is freed with the object, on whatever thread that happens.
    """

    def __init__(
        self, vocabulary: Vocabulary, pointer: "llama_cpp.llama_sampler_p", shown: frozenset[int] = frozenset()
    ) -> None:
        """`shown` are control tokens that add their names to the answer. All others are allowed nowhere.

        To llama.cpp a control token is its name, so that it may stand inside a string; the answer would then lack
        what the grammar has seen.
        """
        self._vocabulary = vocabulary
        self._pointer = pointer
        self._shown = shown
        self._one = (llama_cpp.llama_token_data * 1)()
        self._one_array = llama_cpp.llama_token_data_array(data=self._one, size=1, selected=-1, sorted=False)
        weakref.finalize(self, llama_cpp.llama_sampler_free, pointer)

    @classmethod
    def compile(cls, vocabulary: Vocabulary, text: str, shown: frozenset[int] = frozenset()) -> "Grammar":
        """Parse GBNF with the start rule `root`. Raises SchemaError when llama.cpp does not accept it."""
        pointer = llama_cpp.llama_sampler_init_grammar(vocabulary.pointer, text.encode(), b"root")
        if not pointer:
            raise SchemaError("llama.cpp does not accept the grammar of this schema; simplify it")
        return cls(vocabulary, pointer, shown)

    def fork(self) -> "Grammar":
        """An independent state at the same place."""
        return Grammar(self._vocabulary, llama_cpp.llama_sampler_clone(self._pointer), self._shown)

    def allows(self, token: int) -> bool:
        """See `constrained.Constraint`."""
        if self._vocabulary.silent[token] and token not in self._shown:
            return False
        self._one[0] = llama_cpp.llama_token_data(id=token, logit=0.0, p=0.0)
        llama_cpp.llama_sampler_apply(self._pointer, ctypes.byref(self._one_array))
        return bool(self._one[0].logit == 0.0)

    def allowed(self, tokens: NDArray[np.intp]) -> NDArray[np.intp]:
        """See `constrained.Constraint`."""
        data = np.zeros(tokens.size, dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        data["id"] = tokens
        array = llama_cpp.llama_token_data_array(
            data=data.ctypes.data_as(llama_cpp.llama_token_data_p), size=tokens.size, selected=-1, sorted=False
        )
        llama_cpp.llama_sampler_apply(self._pointer, ctypes.byref(array))
        mute = self._vocabulary.silent[tokens]
        if self._shown and mute.any():
            mute &= ~np.isin(tokens, list(self._shown))
        kept: NDArray[np.intp] = tokens[(data["logit"] == 0.0) & ~mute]
        return kept

    def accept(self, token: int) -> None:
        """Move on over an allowed token that does not end the answer."""
        llama_cpp.llama_sampler_accept(self._pointer, token)
