"""The schema as a map: which keys stand where, and what they are for."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, get_args, get_origin

from pydantic.fields import FieldInfo

from gateway.config.findings import ROOT, Path
from gateway.config.kinds import Section
from gateway.config.schema import Config


def keys(section: type[Section]) -> tuple[str, ...]:
    """The keys of a section, as they stand in a file."""
    return tuple(fields(section))


def fields(section: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a section with what is known of each."""
    return {info.alias or name: info for name, info in section.model_fields.items()}


def section_at(path: Path) -> type[Section] | None:
    """The section whose keys stand directly under `path`; None where there is none, or only names of one's own."""
    return next(_sections(annotation_at(path)), None)


def annotation_at(path: Path) -> object:
    """The type of the value at `path`, None where the schema has no such place."""
    annotation: object = Config
    for step in path:
        annotation = _below(annotation, step)
    return annotation


def purpose(path: Path) -> str | None:
    """The first line of what is written about the key at `path`."""
    section = section_at(path[:-1]) if path else None
    info = fields(section).get(str(path[-1])) if section is not None else None
    return info.description.splitlines()[0] if info is not None and info.description else None


def whole(path: Path) -> bool:
    """Whether the value at `path` is a whole number."""
    return int in _alternatives(annotation_at(path))


def scalar(path: Path) -> bool:
    """Whether the value at `path` is a number or a truth value."""
    return not {int, float, bool, Decimal}.isdisjoint(_alternatives(annotation_at(path)))


def homes(key: str) -> tuple[Path, ...]:
    """Every section that has `key`, as a path; a name of one's own stands as `*`."""
    return tuple(path for path, section in _walk(Config, ROOT) if key in fields(section))


def _walk(section: type[Section], path: Path) -> Iterator[tuple[Path, type[Section]]]:
    yield path, section
    for name, info in fields(section).items():
        below: object = info.annotation
        here: Path = (*path, name)
        if next(_sections(below), None) is None:
            below, here = _below(below, "*"), (*here, "*")
        for found in _sections(below):
            yield from _walk(found, here)


def _sections(annotation: object) -> Iterator[type[Section]]:
    for alternative in _alternatives(annotation):
        if isinstance(alternative, type) and issubclass(alternative, Section):
            yield alternative


def _below(annotation: object, step: str | int) -> object:
    for alternative in _alternatives(annotation):
        if isinstance(alternative, type) and issubclass(alternative, Section):
            info = fields(alternative).get(str(step))
            return None if info is None else info.annotation
        origin, arguments = get_origin(alternative), get_args(alternative)
        if origin is dict:
            return arguments[1]
        if origin in (tuple, frozenset):
            return arguments[0]
    return None


def _alternatives(annotation: object) -> tuple[object, ...]:
    """What a value may be: the parts of a union, each without what `Annotated` says about it."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    origin = get_origin(annotation)
    if origin in (dict, tuple, frozenset) or not get_args(annotation):
        return (annotation,)
    return tuple(part for argument in get_args(annotation) for part in _alternatives(argument))
