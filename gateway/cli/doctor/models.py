"""The models that engines run: present, whole, and what was installed."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from gateway.cli.doctor.finding import Finding, broken, note, ok
from gateway.cli.modellist import size
from gateway.config.schema import Config
from local_models.address import is_address, normalised
from local_models.catalog import InstalledModel, find_by_address, find_installed, is_path, resolve
from local_models.errors import BadModelFile, ModelError, ModelNotPresent
from local_models.modelfile import check_file
from local_models.verify import altered

Report = Callable[[str, int, int | None], None]


class ModelFacts(Struct, frozen=True, kw_only=True):
    """The model of one engine. `absent`, `strange` and `damaged` are the one reason why it cannot run, if there is one:
    it is not here, nobody knows such a one, it is no model. `altered` are files with another sum than they had; None
    where they were not compared.
    """

    engine: str
    model: str
    bytes: int = 0
    absent: str | None = None
    strange: str | None = None
    damaged: str | None = None
    altered: tuple[str, ...] | None = None
    installed: InstalledModel | None = None


def gather(config: Config, home: Path, report: Report | None) -> tuple[ModelFacts, ...]:
    """Look at each; with `report`, which is told how far it is, every byte of them is read."""
    seen: dict[str, ModelFacts] = {}
    for name, engine in config.engines.items():
        if engine.kind == "llama_cpp" and engine.model is not None and engine.model not in seen:
            seen[engine.model] = _look(name, engine.model, home, report)
    return tuple(seen.values())


def findings(facts: tuple[ModelFacts, ...]) -> Iterator[Finding]:
    """Which cannot run, and what brings them back."""
    for each in facts:
        yield from _of(each)


def _look(engine: str, model: str, home: Path, report: Report | None) -> ModelFacts:
    try:
        path = resolve(model, home)
    except ModelNotPresent as error:
        return ModelFacts(engine=engine, model=model, absent=str(error))
    except ModelError as error:
        return ModelFacts(engine=engine, model=model, strange=str(error))
    found = find_by_address(normalised(model), home) if is_address(model) else find_installed(model, home)
    there = path.stat().st_size if found is None else found.bytes
    try:
        check_file(path)
    except BadModelFile as error:
        return ModelFacts(engine=engine, model=model, bytes=there, damaged=str(error), installed=found)
    wrong: tuple[str, ...] | None = None
    if found is not None and report is not None:
        try:
            wrong = altered(found, lambda done, total: report(f"comparing {model}", done, total))
        except ModelError as error:
            return ModelFacts(engine=engine, model=model, bytes=there, damaged=str(error), installed=found)
    return ModelFacts(engine=engine, model=model, bytes=there, altered=wrong, installed=found)


def _of(facts: ModelFacts) -> Iterator[Finding]:
    model, of = facts.model, f"model {facts.model} of engine {facts.engine}"
    elsewhere = f"name a model of `forebay models list` in engines.{facts.engine}.model"
    if facts.strange is not None:
        yield broken("model", f"engine {facts.engine}: {facts.strange}", elsewhere)
    elif facts.absent is not None and is_path(model):
        yield broken("model", f"engine {facts.engine}: {facts.absent}", f"put the file there, or {elsewhere}")
    elif facts.absent is not None:
        yield broken("model", f"{of} is not on this box", f"`forebay models pull {shlex.quote(model)}`")
    elif facts.damaged is not None:
        again = "get the file again from where it came from" if facts.installed is None else _again(facts.installed)
        yield broken("model", f"{of}: {facts.damaged}", again)
    elif facts.altered and facts.installed is not None:
        files = ", ".join(facts.altered)
        yield broken(
            "checksum", f"{of} is not what was installed: {files} has another checksum", _again(facts.installed)
        )
    else:
        yield ok("model", f"{of}: {size(facts.bytes)}")
        yield _compared(facts)


def _compared(facts: ModelFacts) -> Finding:
    if facts.installed is None:
        return note("checksum", f"{facts.model} is a file of yours: nobody promised its checksum")
    if facts.altered is None:
        return note("checksum", f"{facts.model} was not compared (--quick)")
    return ok("checksum", f"{facts.model} is what was installed")


def _again(model: InstalledModel) -> str:
    """Removes it and fetches it from where it came."""
    manifest = model.manifest
    if manifest.address:
        pull = f"{shlex.quote(manifest.address)} --name {shlex.quote(model.name)}"
    else:
        pull = shlex.quote(model.name)
    accept = " --accept-licence" if manifest.accepted else ""
    return f"`forebay models rm {shlex.quote(model.name)} && forebay models pull {pull}{accept}`"
