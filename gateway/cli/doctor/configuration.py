"""The configuration: whether it can be used, and the keys that it wants and does not get."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from gateway.app.certificate import CertificateUnusable, load
from gateway.cli.doctor.finding import Finding, broken, note, ok, warning
from gateway.cli.source import configuration
from gateway.config.environment import Environ
from gateway.config.errors import ConfigError, Problem
from gateway.config.keys import key_variables, unset_variables
from gateway.config.schema import Config

_BUILT_IN = "the built-in developer configuration"


class Facts(Struct, frozen=True, kw_only=True):
    """`config` is there as soon as nothing but keys is missing, so that everything else can be looked at, too.

    `variables` are the environment variables of keys by backend, `unset` those without a value with their backends.
    """

    file: Path | None
    config: Config | None
    problems: tuple[Problem, ...] = ()
    variables: Mapping[str, str] = {}
    unset: Mapping[str, tuple[str, ...]] = {}
    certificate_fault: str | None = None
    certificate_warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return _BUILT_IN if self.file is None else str(self.file)

    def answering(self) -> Iterator[str]:
        """The backends that have their key, or need none."""
        waiting = {backend for backends in self.unset.values() for backend in backends}
        return (name for name in (self.config.backends if self.config else ()) if name not in waiting)


def gather(file: Path | None, environ: Environ) -> Facts:
    """Read it as `serve` would, and once more as if every key were set."""
    variables = key_variables(file)
    unset = unset_variables(variables, environ)
    stand_ins = {} if file is None else dict.fromkeys(unset, "unset")
    try:
        config = configuration(file, {**environ, **stand_ins})
    except ConfigError as error:
        return Facts(file=file, config=None, problems=error.problems, variables=variables, unset=unset)
    fault, warnings = _certificate(config)
    return Facts(
        file=file,
        config=config,
        variables=variables,
        unset=unset,
        certificate_fault=fault,
        certificate_warnings=warnings,
    )


def findings(facts: Facts) -> Iterator[Finding]:
    """What is wrong with it."""
    if facts.config is not None:
        counts = f"engines: {len(facts.config.engines)}, backends: {len(facts.config.backends)}"
        but = ", but for keys" if facts.unset and facts.file is not None else ""
        yield ok("configuration", f"{facts.name}: no problems{but}; {counts}")
    for problem in facts.problems:
        yield broken("configuration", str(problem), _mend(problem))
    for variable, backends in facts.unset.items():
        yield _unset(facts, variable, " and ".join(backends))
    if facts.certificate_fault is not None:
        yield broken("certificate", facts.certificate_fault, "put good files there, or other ones into server.tls")
    for each in facts.certificate_warnings:
        what, _, advice = each.partition("; ")
        yield warning("certificate", what, advice or "look after the file")


def _mend(problem: Problem) -> str:
    if problem.line is None:
        return "give --config the path of a file that this user may read"
    return f"mend {problem.place}, and ask `forebay check {shlex.quote(problem.file)}`"


def _unset(facts: Facts, variable: str, backends: str) -> Finding:
    if facts.file is None:
        return note("key", f"{variable} is not set: {backends} of the cloud are left out")
    return broken(
        "key",
        f"the key of {backends} is not set: the environment variable {variable}",
        f"`export {variable}=…` where `forebay serve` is started, or remove {backends} from {facts.file}",
    )


def _certificate(config: Config) -> tuple[str | None, tuple[str, ...]]:
    if config.server.tls is None:
        return None, ()
    try:
        return None, load(config.server.tls).warnings
    except CertificateUnusable as error:
        return str(error), ()
