"""Reading a JSON body into a type, with errors a caller can act on: which field, what it should be."""

import re
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from gateway.errors import Code, RequestError

T = TypeVar("T")

_AT = re.compile(r" - at (?:`(?:key|value)` in )?`\$?\.?([^`]*)`$")
_PLAIN = MappingProxyType(
    {
        "int": "a whole number",
        "float": "a number",
        "str": "text",
        "bool": "true or false",
        "array": "a list",
        "object": "an object",
        "null": "null",
    }
)
_LONGEST_MESSAGE = 300
_NAMES = re.compile(r"`([a-z]+(?: \| [a-z]+)*)`")
_decode = msgspec.json.Decoder().decode


def read_object(raw: bytes, shape: type) -> dict[str, Any]:
    """The fields of a JSON object. `shape` only helps to name the field that holds an impossible number."""
    try:
        fields = _decode(raw)
    except UnicodeDecodeError as error:
        raise _bad_json("the body is not valid UTF-8") from error
    except RecursionError as error:
        raise _bad_json("the body is nested too deeply") from error
    except msgspec.ValidationError as error:
        param = _find_number(raw, shape)
        raise RequestError(f"{param}: the number is out of range", param=param) from error
    except msgspec.DecodeError as error:
        raise _bad_json(_what_is_wrong(raw, error)) from error
    if not isinstance(fields, dict):
        raise _bad_json("the body must be a JSON object")
    return fields


def convert(fields: dict[str, Any], shape: type[T], *, strict: bool = True) -> T:
    """`fields` as a `shape`. With `strict` off, text such as "true" will do for what it spells."""
    try:
        return msgspec.convert(fields, shape, strict=strict)
    except msgspec.ValidationError as error:
        param, message = explain(error)
        raise RequestError(f"{param}: {message}", param=param) from error
    except RecursionError as error:
        raise _bad_json("the body is nested too deeply") from error


def explain(error: msgspec.ValidationError) -> tuple[str, str]:
    """The path of the field at fault, and what is wrong with it in plain words."""
    text = str(error)
    found = _AT.search(text)
    path = found[1].replace("[...]", "") if found else ""
    message = _AT.sub("", text)
    if "missing required field" in message:
        missing = message.rsplit("`", 2)[1]
        return (f"{path}.{missing}" if path else missing), "is required"
    message = _NAMES.sub(lambda names: " or ".join(_PLAIN.get(n, n) for n in names[1].split(" | ")), message)
    return path or "body", message[:1].lower() + message[1:_LONGEST_MESSAGE]


def _bad_json(message: str) -> RequestError:
    return RequestError(message, code=Code.INVALID_JSON, param="body")


def _what_is_wrong(raw: bytes, error: msgspec.DecodeError) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "the body is not valid UTF-8"
    return "the body is empty" if not raw.strip() else f"the body is not valid JSON: {error}"


def _find_number(raw: bytes, shape: type) -> str:
    """Decoding into the type stops at the same number, but knows its path."""
    try:
        msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as error:
        return explain(error)[0]
    return "body"
