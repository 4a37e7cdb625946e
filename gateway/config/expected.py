"""What was expected and what was found: pydantic's errors in plain words.

What was found is told from the file as it was written, before `${NAME}` was filled in.
"""

import re
from types import MappingProxyType
from typing import NamedTuple, get_args

from pydantic_core import ErrorDetails

from gateway.config import kinds, outline
from gateway.config.findings import NOT_SHOWN, Finding, Path, dotted, quoted, sensitive
from gateway.config.positions import Document, Value
from gateway.config.scalars import reading
from gateway.config.suggest import nearest

_A_MAPPING = "keys with values"
_A_LIST = "a list"
_KINDS = MappingProxyType(
    {
        "string_type": "text",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "decimal_type": "a number",
        "decimal_parsing": "a number",
        "dict_type": _A_MAPPING,
        "model_type": _A_MAPPING,
        "tuple_type": _A_LIST,
        "frozen_set_type": _A_LIST,
        "string_too_short": "text of at least {min_length} character(s)",
        "string_too_long": "text of at most {max_length} characters",
        "decimal_max_places": "at most {decimal_places} decimal places",
        "decimal_max_digits": "at most {max_digits} digits",
        "decimal_whole_digits": "at most {whole_digits} digits before the point",
    }
)
_BOUNDS = MappingProxyType(
    {"greater_than": "> {gt}", "greater_than_equal": "≥ {ge}", "less_than": "< {lt}", "less_than_equal": "≤ {le}"}
)
_PATTERNS = MappingProxyType(
    {
        kinds.NAME_PATTERN: "a name: up to 64 letters, digits, '.', '_' or '-', the first a letter or digit",
        kinds.LISTEN_PATTERN: "an address and a port, such as 127.0.0.1:8080",
        kinds.URL_PATTERN: "an address such as https://host:port/path, without user, query or fragment",
        kinds.PROXY_PATTERN: "a proxy such as http://proxy.example.com:3128, without user or path",
        kinds.HASH_PATTERN: "sha256: and 64 hex digits, in small letters",
    }
)
_BARE = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?|true|false")
_EXPONENT = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]+")
_CHOICE = re.compile(r"'([^']*)'")


class Complaint(NamedTuple):
    """One of pydantic's errors, with a path that exists in the file but for a missing last key."""

    path: Path
    kind: str
    details: ErrorDetails


def complaints(errors: list[ErrorDetails], tree: Value) -> tuple[Complaint, ...]:
    """pydantic's errors, with its own signs taken out of the paths, and one per value where a union was tried."""
    found = [Complaint(_real(error, tree), error["type"], error) for error in errors]
    around = {complaint.path[:length] for complaint in found for length in range(len(complaint.path))}
    kept: dict[Path, Complaint] = {}
    for complaint in found:
        if complaint.kind != "literal_error" or complaint.path not in around:
            kept.setdefault(complaint.path, complaint)
    return tuple(kept.values())


def finding(complaint: Complaint, document: Document) -> Finding:
    """A complaint as a person reads it."""
    path = complaint.path
    if complaint.kind == "missing":
        return Finding(path=path, message=_missing(path))
    if complaint.kind == "extra_forbidden":
        return _unknown_key(path)
    if complaint.details["loc"][-1] == "[key]":
        return Finding(path=path, message=f"expected {_expected(complaint)} as key", on_key=True)
    if complaint.kind == "literal_error" and outline.annotation_at((*path, 0)) is not None:
        return _word_or_list(path, document)
    choices = _choices(complaint)
    found = _value_at(document.tree, path)
    near = nearest(found, choices) if isinstance(found, str) else None
    message = f"expected {_expected(complaint)}, {_found(path, document)}"
    return Finding(path=path, message=message + _advice(complaint, document), suggestion=near)


def _real(error: ErrorDetails, tree: Value) -> Path:
    path: Path = ()
    value = tree
    missing = error["loc"][-1:] if error["type"] == "missing" else ()
    for step in error["loc"][: len(error["loc"]) - len(missing)]:
        if isinstance(value, dict) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            continue
        path = (*path, step)
    return (*path, *missing)


def _value_at(tree: Value, path: Path) -> Value:
    value = tree
    for step in path:
        if isinstance(value, dict):
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
    return value


def _unknown_key(path: Path) -> Finding:
    key = str(path[-1])
    # That it is right somewhere else is a better guess than that it is a slip of something else.
    homes = outline.homes(key)
    if len(homes) == 1:
        return Finding(path=path, message=f"unknown key; it belongs under {dotted(homes[0])}", on_key=True)
    section = outline.section_at(path[:-1])
    near = nearest(key, outline.keys(section)) if section is not None else None
    return Finding(path=path, message="unknown key", suggestion=near, on_key=True)


def _word_or_list(path: Path, document: Document) -> Finding:
    found = _value_at(document.tree, path)
    near = nearest(found, ("any",)) if isinstance(found, str) else None
    return Finding(path=path, message=f"expected any, or a list of regions, {_found(path, document)}", suggestion=near)


def _choices(complaint: Complaint) -> list[str]:
    return _CHOICE.findall(str(complaint.details.get("ctx", {}).get("expected", "")))


def _expected(complaint: Complaint) -> str:
    context = complaint.details.get("ctx", {})
    if "expected" in context:
        choices = _choices(complaint)
        if len(choices) > 1:
            return f"one of {', '.join(choices)}"
        return choices[0] if choices else str(context["expected"])
    if complaint.kind in _BOUNDS:
        kind = "a whole number" if outline.whole(complaint.path) else "a number"
        bound = {name: _figure(value) for name, value in context.items()}
        return f"{kind} {_BOUNDS[complaint.kind].format(**bound)}"
    if complaint.kind == "string_pattern_mismatch":
        return _PATTERNS.get(str(context.get("pattern")), "other text")
    return _KINDS.get(complaint.kind, "something else").format(**context)


def _figure(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def _missing(path: Path) -> str:
    only = get_args(outline.annotation_at(path))
    if len(only) == 1:
        return f"missing key; write {path[-1]}: {only[0]}"
    purpose = outline.purpose(path)
    return "missing key" if purpose is None else f"missing key ({purpose.rstrip('.')})"


def _found(path: Path, document: Document) -> str:
    value = _value_at(document.tree, path)
    source = document.place(path).source or ""
    if value is None:
        return "found nothing"
    if isinstance(value, bool):
        plain = f"found {source}"
        return plain if source.lower() in ("true", "false") else f"{plain}, which YAML reads as {reading(source)}"
    if isinstance(value, int | float):
        return f"found {source}"
    if isinstance(value, str):
        return f"found something else {NOT_SHOWN}" if sensitive(path) else f"found {quoted(value)}"
    return f"found {_A_LIST}" if isinstance(value, list) else f"found {_A_MAPPING}"


def _advice(complaint: Complaint, document: Document) -> str:
    path = complaint.path
    value = _value_at(document.tree, path)
    source = document.place(path).source or ""
    if value is None:
        return "; remove the line, or give it a value"
    if complaint.kind == "string_type" and isinstance(value, bool | int | float):
        return f"; quote it: {quoted(source)}"
    if not isinstance(value, str) or not outline.scalar(path):
        return ""
    if "${" in value:
        return "; ${…} gives text, so write the value itself"
    if _EXPONENT.fullmatch(value):
        return "; write out the zeros"
    return "; write it without the quotes" if _BARE.fullmatch(value) else ""
