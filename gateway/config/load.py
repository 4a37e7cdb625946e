"""From a file to a Config, in five steps: read, fill in `${NAME}`, hold against the schema, apply the rules, report.

Every step goes on past what it finds, so that all problems of a file are reported at once.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path as FilePath

from gateway.config import expected, rules
from gateway.config.environment import Environ, Substituted, plain_secrets, substitute
from gateway.config.errors import ConfigError, Problem
from gateway.config.findings import Finding, Mark, Path, dotted, like_a_token, quoted, related, within
from gateway.config.mend import Validated, validated
from gateway.config.positions import Document, read
from gateway.config.schema import Config
from gateway.config.syntax import Illegible, mark_at

MAX_BYTES = 1024 * 1024
MAX_PROBLEMS = 100


def load(path: FilePath, environ: Environ) -> Config:
    """Read a configuration file. Raises ConfigError with every problem in it."""
    return parse(_content(path), str(path), environ)


def parse(content: bytes, file: str, environ: Environ) -> Config:
    """What a file with this content says; `file` is what it is called in problems. Raises ConfigError."""
    try:
        document = read(_text(content))
    except Illegible as fault:
        raise ConfigError([_problem(file, fault.mark, fault.message)]) from None
    return configured(document, file, environ)


def configured(document: Document, file: str, environ: Environ) -> Config:
    """What a document says. Raises ConfigError."""
    filled = substitute(document.tree, environ)
    before = (*document.findings, *plain_secrets(document.tree), *filled.findings)
    judged = validated(filled.tree)
    faults = (*before, *_schema_findings(judged, document, {finding.path for finding in before}))
    damaged = judged.damaged | {fault.path for fault in faults} | _meant(faults)
    broken = _rule_findings(judged, damaged)
    found = sorted({*faults, *broken}, key=lambda finding: (_mark(finding, document), finding.message))
    if found or judged.config is None:
        raise ConfigError(list(_problems(found, document, filled, file)))
    return judged.config


def _content(path: FilePath) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        reason = "there is no such file"
    except IsADirectoryError:
        reason = "is a directory; name the file in it"
    except PermissionError:
        reason = "may not be read by this user"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise ConfigError([Problem(file=str(path), line=None, column=None, key="", message=reason)])


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise Illegible("more than 1 MiB; that is no configuration file", Mark(1, 1))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # `start` counts from after the byte order mark, if there is one.
        readable = error.object[: error.start].decode("utf-8", "replace")
        raise Illegible("no UTF-8 text", mark_at(readable, len(readable))) from None


def _schema_findings(judged: Validated, document: Document, reported: set[Path]) -> list[Finding]:
    """Findings on what pydantic refused; a value already found wanting is not judged again."""
    fresh = (complaint for complaint in judged.complaints if complaint.path not in reported)
    ordered = sorted(fresh, key=lambda complaint: document.place(complaint.path).value)
    findings = [expected.finding(complaint, document) for complaint in ordered[: MAX_PROBLEMS + 1]]
    meant = _meant(findings)
    return [finding for finding in findings if finding.path not in meant]


def _meant(findings: Iterable[Finding]) -> set[Path]:
    """What misspelt keys were meant to be: a required one is not missing as well, nor is anything to be concluded."""
    return {(*one.path[:-1], one.suggestion) for one in findings if one.on_key and one.suggestion}


def _rule_findings(judged: Validated, damaged: frozenset[Path]) -> list[Finding]:
    if judged.config is None:
        return []
    around = within(damaged)
    sound = (
        finding
        for finding in rules.findings(judged.config)
        if not any(related(path, damaged, around) for path in (finding.path, *finding.depends))
    )
    return list(islice(sound, MAX_PROBLEMS + 1))


def _problems(found: list[Finding], document: Document, filled: Substituted, file: str) -> Iterator[Problem]:
    for finding in found[:MAX_PROBLEMS]:
        values = [quoted(filled.written.get(value, value)) for value in finding.values]
        message = finding.message.format(*values) if values else finding.message
        suggestion = _suggestion(finding, filled)
        yield _problem(file, _mark(finding, document), message, dotted(finding.path), suggestion)
    if len(found) > MAX_PROBLEMS:
        last = _mark(found[MAX_PROBLEMS], document)
        yield _problem(file, last, f"and more; these are the first {MAX_PROBLEMS}")


def _suggestion(finding: Finding, filled: Substituted) -> str | None:
    if finding.suggestion is None or finding.path in filled.filled:
        return None  # what resembles a text from the environment would give it away
    written = filled.written.get(finding.suggestion, finding.suggestion)
    return None if like_a_token(written) else written


def _mark(finding: Finding, document: Document) -> Mark:
    if finding.mark is not None:
        return finding.mark
    place = document.place(finding.path)
    at_key = finding.on_key or place.source is None
    return place.key if at_key and place.key is not None else place.value


def _problem(file: str, mark: Mark, message: str, key: str = "", suggestion: str | None = None) -> Problem:
    return Problem(file=file, line=mark.line, column=mark.column, key=key, message=message, suggestion=suggestion)
