"""What YAML 1.1 makes of a plain word, and a refusal wherever that is not what the word says.

`no` is false, `12:30` is 750 (base sixty), `010` is 8, `2026-01-01` is a date. A truth value is judged later, by the
key it stands under; the others are refused everywhere, with the advice to quote them.
"""

import math

import yaml

from gateway.config.findings import quoted
from gateway.config.syntax import restored
from gateway.errors import ForebayError

Scalar = str | int | float | bool | None

_MOST_DIGITS = 18
_TAG = "tag:yaml.org,2002:"
_TRUTH = frozenset({"yes", "true", "on"})
_FALSEHOOD = frozenset({"no", "false", "off"})


class Trap(ForebayError):
    """A word that YAML reads as something else; the message says as what."""


def scalar(node: yaml.ScalarNode) -> Scalar:
    """The value of a scalar. Raises Trap."""
    text = restored(node.value)
    kind = node.tag.removeprefix(_TAG)
    if kind == "str":
        return _text(text)
    if kind == "null":
        return None
    if kind == "bool":
        return _truth(text)
    if kind == "int":
        return _whole(text)
    if kind == "float":
        return _number(text)
    if kind == "timestamp":
        raise Trap(f"{quoted(text)} is a date to YAML; quote it")
    raise Trap("expected a plain value; YAML tags (!) and the sign = have no use here, so quote the text")


def key(node: yaml.Node) -> str:
    """The text of a key. Raises Trap where YAML reads it as something other than text."""
    if not isinstance(node, yaml.ScalarNode):
        raise Trap("expected a plain word as key, found a list or a mapping")
    text = restored(node.value)
    if "${" in text:
        raise Trap("keys are taken as they are: ${…} stands in values only")
    if node.tag == f"{_TAG}str":
        return _text(text)
    raise Trap(f"YAML does not read this key as text{_reading(node, text)}; quote it")


def reading(text: str) -> str:
    """What YAML 1.1 makes of one of its many words for true and false."""
    return "true" if text.lower() in _TRUTH else "false"


def _reading(node: yaml.ScalarNode, text: str) -> str:
    words = {"bool": f" but as {reading(text)}", "null": " but as nothing", "int": " but as a number"}
    words |= {"float": " but as a number", "timestamp": " but as a date"}
    return words.get(node.tag.removeprefix(_TAG), "")


def _text(text: str) -> str:
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
        raise Trap("an escape that stands for no character")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTH | _FALSEHOOD:
        raise Trap("expected true or false")
    return text.lower() in _TRUTH


def _whole(text: str) -> int:
    digits = text.replace("_", "").lstrip("+-")
    if ":" in digits:
        raise Trap(_base_sixty(text))
    if len(digits) > _MOST_DIGITS:
        raise Trap("a number with too many digits")
    if len(digits) > 1 and digits.isdigit() and digits.startswith("0"):
        raise Trap(f"{quoted(text)} is a number to base eight to YAML; leave out the leading zero, or quote it")
    try:
        value = int(digits, 0)
    except ValueError:
        raise Trap("expected a whole number") from None
    return -value if text.startswith("-") else value


def _number(text: str) -> float:
    if ":" in text:
        raise Trap(_base_sixty(text))
    try:
        value = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise Trap("expected a number") from None
    if not math.isfinite(value):
        raise Trap("expected a finite number")
    return value


def _base_sixty(text: str) -> str:
    return f"{quoted(text)} is a number to base sixty to YAML; quote it"
