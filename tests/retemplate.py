"""Copies of a GGUF with other chat templates: the same weights, by which a test may meet a model that knows tools."""

import struct
from pathlib import Path
from typing import Final

_ENTRIES_AT: Final = 16
_KEY: Final = b"tokenizer.chat_template"
_TEXT: Final = 8
_ALIGNMENT: Final = 32


def retemplated(model: Path, copy: Path, template: str | None = None, for_tools: str | None = None) -> Path:
    """Write a copy of `model` whose template is `template`, or with another template `for_tools` beside its own."""
    data = model.read_bytes()
    key_at = data.index(_entry_head(_KEY))
    value_at = key_at + len(_entry_head(_KEY))
    (length,) = struct.unpack_from("<Q", data, value_at)
    end = value_at + 8 + length
    if template is not None:
        data = data[:value_at] + _text(template, length) + data[end:]
    if for_tools is not None:
        head = _entry_head(_KEY + b".tool_use")
        (entries,) = struct.unpack_from("<Q", data, _ENTRIES_AT)
        counted = struct.pack("<Q", entries + 1)
        data = (
            data[:_ENTRIES_AT]
            + counted
            + data[_ENTRIES_AT + 8 : key_at]
            + (head + _text(for_tools, -len(head) - 8))
            + data[key_at:]
        )
    copy.write_bytes(data)
    return copy


def _entry_head(key: bytes) -> bytes:
    """A text's key and type, as they stand before it."""
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", _TEXT)


def _text(template: str, length: int) -> bytes:
    """The template with its length before it, made longer until it differs from `length` by whole blocks: what comes
    after it must stay aligned.
    """
    value = template.encode() + b"{##}"
    value = value[:-2] + b" " * ((length - len(value)) % _ALIGNMENT) + value[-2:]
    return struct.pack("<Q", len(value)) + value
