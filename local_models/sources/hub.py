"""`python -m local_models.sources.hub`: asks a Hugging Face hub, or fetches a file of it, with huggingface_hub.

ask REPO REVISION [FILE]               what there is: commit, files with size and sha256, licence
fetch REPO COMMIT FILE SIZE PATH       bring it to PATH, going on after what PATH has already

Prints `Progress N of M` while bytes come and one JSON line at its end. Runs for `hf.HubSource` alone, in a process of
its own, which ends as soon as whoever started it is gone.
"""

import io
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_token, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # documented, and not in its __all__

from local_models.sources.hf import Facts, Said

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SPLIT: Final = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_LISTED: Final = 12
# Resets, which the client does not try again: as many as there are while each brought something, else this many.
_VAIN_TRIES: Final = 3
_PAUSE_S: Final = 1.0


class _NothingFitsError(Exception):
    """There is no file that could be meant, or more than one; the text is for the user."""


def main(arguments: Sequence[str]) -> int:
    """Do one thing; what went wrong is said in the last line, with exit status 1."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    work, repo, revision, *rest = arguments
    said = Said()
    try:
        if work == "ask":
            said = Said(facts=_ask(repo, revision, rest[0]))
        else:
            _fetch(repo, revision, rest[0], int(rest[1]), Path(rest[2]))
    except Exception as error:  # noqa: BLE001 -- the seam at which a foreign library's errors become one line
        said = Said(error=_explain(error, repo, revision, rest[0]))
    _print(msgspec.json.encode(said).decode())
    return 0 if said.error is None else 1


def _die_with_parent() -> None:
    """Nobody writes to our standard input: it ends when nobody waits for us any more."""
    os.read(sys.stdin.fileno(), 1)  # not the stream: a thread inside it would keep the interpreter from ending
    os._exit(1)


def _ask(repo: str, revision: str, file: str) -> Facts:
    api = HfApi()
    if file:
        commit, facts = _file_facts(repo, revision, file)
        paths = _split_of(file)
        files = (facts, *(_file_facts(repo, commit, path)[1] for path in paths if path != file))
        return Facts(commit=commit, files=tuple(sorted(files)), licence=_licence(api, repo, commit))
    info = api.model_info(repo, revision=revision)
    names = sorted(sibling.rfilename for sibling in info.siblings or ())
    path = _the_one_model(repo, revision, names)
    assert info.sha is not None
    return _ask(repo, info.sha, path)


def _file_facts(repo: str, revision: str, file: str) -> tuple[str, tuple[str, int, str]]:
    url = hf_hub_url(repo, file, revision=revision)
    found = get_hf_file_metadata(url, retry_on_errors=True)
    if found.commit_hash is None or found.size is None:
        raise _NothingFitsError(f"{constants.ENDPOINT} does not answer as a Hugging Face hub does: check HF_ENDPOINT")
    if found.etag is None or not _SHA256.fullmatch(found.etag):
        raise _NothingFitsError(
            f"{constants.ENDPOINT} publishes no sha256 of {file} in {repo}, only of large files (LFS): fetch it by "
            "hand and give its path"
        )
    return found.commit_hash, (file, found.size, found.etag)


def _licence(api: HfApi, repo: str, commit: str) -> str:
    """What the model card says; a mirror need not have cards."""
    try:
        card = api.model_info(repo, revision=commit).card_data
    except HfHubHTTPError:
        return ""
    licence = card.get("license") if card is not None else None
    return licence if isinstance(licence, str) else ""


def _the_one_model(repo: str, revision: str, names: Sequence[str]) -> str:
    """The only GGUF, where there is one; of a model in several files the first."""
    models = [name for name in names if name.lower().endswith(".gguf")]
    firsts = [name for name in models if (split := _SPLIT.search(name)) is None or int(split[1]) == 1]
    if len(firsts) == 1:
        return firsts[0]
    if not firsts:
        raise _NothingFitsError(f"{repo} has no .gguf file at {revision}: the CPU engine runs no other kind")
    shown = ", ".join(firsts[:_LISTED]) + (", …" if len(firsts) > _LISTED else "")
    raise _NothingFitsError(f"{repo} has {len(firsts)} models: add `:FILE` with one of {shown}")


def _split_of(file: str) -> tuple[str, ...]:
    """All files of a model that is split over several."""
    split = _SPLIT.search(file)
    if split is None:
        return (file,)
    stem = file[: split.start()]
    return tuple(f"{stem}-{number:05d}-of-{split[2]}.gguf" for number in range(1, int(split[2]) + 1))


def _fetch(repo: str, commit: str, file: str, size: int, target: Path) -> None:
    """Go on after what is there until all is there."""
    # The address of the file, never of where it redirects to: that one is signed and expires within the hour.
    url = hf_hub_url(repo, file, revision=commit)
    vain = 0
    while (have := _size(target)) < size:
        try:
            with _Counted(io.FileIO(target, "ab"), size) as out:
                # Nothing unpacks on the way, so that bytes counted are bytes of the file.
                headers = {**build_hf_headers(), "accept-encoding": "identity"}
                http_get(url, out, resume_size=have, headers=headers, expected_size=size)
        except Exception as error:
            vain = 0 if _size(target) > have else vain + 1
            if not _is_reset(error) or vain == _VAIN_TRIES:
                raise
            time.sleep(_PAUSE_S)


class _Counted(io.BufferedWriter):
    """Reports how far it is at each write."""

    def __init__(self, raw: io.FileIO, total: int) -> None:
        super().__init__(raw)
        self._total = total

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override] # no other buffer comes
        written = super().write(data)
        self.flush()
        _print(f"Progress {self.tell()} of {self._total}")
        return written


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# By name, because it is the hub client's affair which of httpx and httpx2 it goes by.


def _is_transport(error: Exception) -> bool:
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _is_reset(error: Exception) -> bool:
    return type(error).__name__ == "ReadError"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _explain(error: Exception, repo: str, revision: str, file: str) -> str:
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return sentence(repo, revision, file)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status in (401, 403):
        return _forbidden(repo, revision, file)
    if status is not None:
        return f"{constants.ENDPOINT} answers {status} for {repo}: try again later"
    if _is_transport(error):
        return (
            f"cannot reach {constants.ENDPOINT} ({_first_line(error)}): check the network, HTTPS_PROXY and HF_ENDPOINT "
            "(the address of your mirror), or fetch the file elsewhere and give its path"
        )
    return _first_line(error)


def _gated(repo: str, _revision: str, _file: str) -> str:
    page = f"{constants.ENDPOINT}/{repo}"
    if get_token() is None:
        return f"{repo} is gated: accept its terms at {page}, then set HF_TOKEN to a token of the same account"
    return f"{repo} is gated, and HF_TOKEN's account may not read it: accept its terms at {page}"


def _no_repository(repo: str, _revision: str, _file: str) -> str:
    if get_token() is None:
        return f"{constants.ENDPOINT} has no model {repo}; if it is private, set HF_TOKEN to a token that may read it"
    return f"{constants.ENDPOINT} has no model {repo} that HF_TOKEN may read: correct the name, or renew the token"


def _forbidden(repo: str, _revision: str, _file: str) -> str:
    if get_token() is None:
        return f"{constants.ENDPOINT} refuses {repo} without a token: set HF_TOKEN to one that may read it"
    return f"{constants.ENDPOINT} refuses HF_TOKEN for {repo}: set it to a token that may read it"


def _no_revision(repo: str, revision: str, _file: str) -> str:
    return f"{repo} has no branch, tag or commit {revision!r}"


def _no_file(repo: str, revision: str, file: str) -> str:
    return f"{repo} has no file {file!r} at {revision}"


def _offline(repo: str, _revision: str, _file: str) -> str:
    return f"HF_HUB_OFFLINE is set, so {repo} is not fetched: unset it, or give the path of a file"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


_SENTENCES: Final[tuple[tuple[type[Exception], Callable[[str, str, str], str]], ...]] = (
    # A gated repository counts as one that is not found, so the particular comes first.
    (GatedRepoError, _gated),
    (RepositoryNotFoundError, _no_repository),
    (RevisionNotFoundError, _no_revision),
    (RemoteEntryNotFoundError, _no_file),
    (OfflineModeIsEnabled, _offline),
    (LocalTokenNotFoundError, _forbidden),
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
