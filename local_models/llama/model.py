"""A loaded GGUF: weights, vocabulary and what its metadata says. The only caller of llama.cpp's model functions."""

import ctypes
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Final

import llama_cpp
import numpy as np

from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.llama.log import LlamaLog
from local_models.llama.pooling import Nature

_MAX_PIECE: Final = 4096
_CONTROL: Final = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN


class Vocabulary:
    """Text to tokens and back. Read-only after it is made, so any thread may use it while the model lives."""

    def __init__(self, pointer: llama_cpp.llama_vocab_p) -> None:
        self.pointer = pointer
        self.size = llama_cpp.llama_vocab_n_tokens(pointer)
        buffer = ctypes.create_string_buffer(_MAX_PIECE)
        self.labels = tuple(self._piece(token, buffer, special=True) for token in range(self.size))
        """The bytes of every token as logprobs name it; control tokens by their names, such as `<|im_end|>`."""
        control = [token for token in range(self.size) if llama_cpp.llama_vocab_get_attr(pointer, token) & _CONTROL]
        pieces = list(self.labels)
        for token in control:
            pieces[token] = self._piece(token, buffer, special=False)
        self.pieces = tuple(pieces)
        """The bytes every token adds to an answer; control tokens add none."""
        self.ends = frozenset(token for token in range(self.size) if llama_cpp.llama_vocab_is_eog(pointer, token))
        """Tokens that end an answer."""
        self.control_texts = tuple(text for token in control if (text := self.labels[token].decode("utf-8", "replace")))
        """Texts that would become control tokens where they are allowed to."""
        self.silent = np.zeros(self.size, dtype=np.bool_)
        """Whether a token adds nothing to an answer and does not end it either."""
        self.silent[[token for token in control if token not in self.ends]] = True
        self.longest = max(map(len, self.labels))
        """Bytes of the longest token."""
        self.bos = self._name(llama_cpp.llama_vocab_bos(pointer))
        self.eos = self._name(llama_cpp.llama_vocab_eos(pointer))
        self.adds_bos = bool(llama_cpp.llama_vocab_get_add_bos(pointer))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`.

        `add_special` adds what the model wants at the beginning (BOS); `parse_special` lets names of control tokens
        in the text become these tokens. Text with unpaired surrogates raises UnicodeEncodeError.
        """
        data = text.encode()
        room = len(data) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.pointer, data, len(data), buffer, room, add_special, parse_special)
        if count < 0:
            room = -count
            buffer = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self.pointer, data, len(data), buffer, room, add_special, parse_special)
        return buffer[:count]

    def spelled(self, data: bytes) -> tuple[int, ...] | None:
        """Tokens whose bytes are `data`, the longest possible ones first; None when there are none."""
        tokens: list[int] = []
        begin = 0
        while begin < len(data):
            ends = range(min(len(data), begin + self.longest), begin, -1)
            end = next((end for end in ends if data[begin:end] in self._tokens), None)
            if end is None:
                return None
            tokens.append(self._tokens[data[begin:end]])
            begin = end
        return tuple(tokens)

    def named(self, names: Iterable[str]) -> dict[int, bytes]:
        """Those of the control tokens that have one of these names, and the names."""
        wanted = {name.encode() for name in names}
        return {token: label for token, label in enumerate(self.labels) if label in wanted and not self.pieces[token]}

    @cached_property
    def _tokens(self) -> dict[bytes, int]:
        """Every piece's first token; made when it is first needed."""
        return {piece: token for token, piece in reversed(list(enumerate(self.pieces))) if piece}

    def _piece(self, token: int, buffer: ctypes.Array[ctypes.c_char], *, special: bool) -> bytes:
        count = llama_cpp.llama_token_to_piece(self.pointer, token, buffer, _MAX_PIECE, 0, special)
        return buffer.raw[: max(count, 0)]

    def _name(self, token: int) -> str:
        return self.labels[token].decode("utf-8", "replace") if 0 <= token < self.size else ""


class Model:
    """The weights and what belongs to them. `close` frees them; nothing made from the model may be used after."""

    def __init__(self, path: Path, log: LlamaLog) -> None:
        self.path = path
        llama_cpp.llama_backend_init()
        log.keep_errors()
        pointer = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        errors = log.kept_errors()
        if not pointer:
            raise StartError(f"llama.cpp refuses {path}: {errors[0] if errors else 'no reason given'}", EXIT_REFUSED)
        self.pointer: llama_cpp.llama_model_p = pointer
        vocabulary = llama_cpp.llama_model_get_vocab(pointer)
        if not vocabulary or llama_cpp.llama_vocab_n_tokens(vocabulary) == 0:
            raise StartError(f"{path} has no vocabulary: give a text model", EXIT_REFUSED)
        self.vocabulary = Vocabulary(vocabulary)
        self.trained_context = llama_cpp.llama_model_n_ctx_train(pointer)
        """Tokens the model was trained to read at once."""
        self.width = llama_cpp.llama_model_n_embd_out(pointer)
        """Numbers of a vector."""
        self.chat_template = self._metadata("tokenizer.chat_template")
        self.tool_template = self._metadata("tokenizer.chat_template.tool_use")
        """Another template for conversations with tools, which a few models have."""
        self.nature = self._nature()
        self.keeps_all = not (
            llama_cpp.llama_model_n_swa(pointer)
            or llama_cpp.llama_model_is_recurrent(pointer)
            or llama_cpp.llama_model_is_hybrid(pointer)
        )
        """Its memory has every token in every layer: no sliding window, no recurrent state."""

    def close(self) -> None:
        """Free the weights."""
        llama_cpp.llama_model_free(self.pointer)

    def _nature(self) -> Nature:
        architecture = self._metadata("general.architecture")
        pooling = self._metadata(f"{architecture}.pooling_type")
        encodes = bool(llama_cpp.llama_model_has_encoder(self.pointer))
        decodes = bool(llama_cpp.llama_model_has_decoder(self.pointer))
        return Nature(
            path=self.path,
            pooling=int(pooling) if pooling and pooling.isdecimal() else None,
            reads_back=not decodes or self._metadata(f"{architecture}.attention.causal") == "false",
            two_parts=encodes and decodes,
        )

    def _metadata(self, key: str) -> str | None:
        read: Callable[..., int] = llama_cpp.llama_model_meta_val_str
        size = read(self.pointer, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        read(self.pointer, key.encode(), buffer, size + 1)
        return buffer.value.decode("utf-8", "replace")
