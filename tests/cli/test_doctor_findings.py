"""What `forebay doctor` concludes from what it saw: tables of facts that no test machine has all of."""

import errno
from pathlib import Path

import pytest

from gateway.cli.doctor import clock, engines, machine, models, ports, providers, storage
from gateway.cli.doctor.finding import Finding, Level
from local_models.catalog import InstalledModel, Manifest, ModelFile
from local_models.hardware import Memory
from local_models.listeners import Listener

NOON = 1_780_000_000.0
REPLY = providers.Reply(backends=("big",), wanted=("gpt-5",), url="https://api.example/v1", variable="BIG_KEY")


def one(found: list[Finding], check: str) -> tuple[Level, str, str]:
    """The only finding of that kind."""
    (finding,) = [each for each in found if each.check == check]
    assert (finding.advice is None) == (finding.level in (Level.OK, Level.NOTE)), finding
    return finding.level, finding.what, finding.advice or ""


def box(*, size: int = 0) -> list[Finding]:
    """What is found of a box with 8 GB."""
    memory = Memory(8_000_000_000, 2_000_000_000)
    facts = machine.Facts(cpus=4, architecture="arm64", memory=memory, models=size)
    return list(machine.findings(facts))


def test_models_larger_than_the_memory_are_said_to_be() -> None:
    """Before they swap the box to a standstill."""
    assert one(box(size=7_000_000_000), "memory")[0] is Level.OK
    level, what, _ = one(box(size=9_000_000_000), "memory")
    assert (level, what) == (
        Level.WARNING,
        "the models of the engines take 9.0 GB, and there are 8.0 GB, 2.0 GB of it available",
    )


@pytest.mark.parametrize(
    ("wanted", "compiler", "fault", "engine", "tool"),
    [
        (True, "/usr/bin/c++", None, Level.OK, Level.OK),
        (True, None, None, Level.OK, Level.WARNING),
        (True, "/usr/bin/c++", "ImportError", Level.BROKEN, Level.OK),
        (True, None, "ImportError", Level.BROKEN, Level.BROKEN),
        (False, None, "ImportError", Level.OK, None),
    ],
)
def test_a_compiler_is_as_needed_as_the_engine(
    *, wanted: bool, compiler: str | None, fault: str | None, engine: Level, tool: Level | None
) -> None:
    """Not where no engine runs on the CPU, one day where the engine is there, now where it is not."""
    facts = engines.Facts(wanted=wanted, compiler=compiler, install="install it", fault=fault)
    found = list(engines.findings(facts))
    assert one(found, "engine")[0] is engine
    assert [each.level for each in found if each.check == "compiler"] == ([] if tool is None else [tool])


def test_a_server_that_does_not_answer_is_broken() -> None:
    """With where it should be; one of this box that is silent may want a GPU."""
    there = engines.Attached(engine="gpu", url="http://127.0.0.1:8000", on_box=True, fault="nobody listens")
    facts = engines.Facts(wanted=False, compiler=None, install="", fault=None, attached=(there,))
    level, what, advice = one(list(engines.findings(facts)), "attached")
    assert (level, what) == (Level.BROKEN, "engine gpu at http://127.0.0.1:8000: nobody listens")
    assert "engines.gpu.urls" in advice
    assert facts.silent == (there,)


def installed(name: str, address: str = "", accepted: str | None = None) -> InstalledModel:
    """A model that was installed."""
    file = ModelFile(source=address or "pypi:tiny==1#tiny.gguf", sha256="0" * 64, bytes=9)
    manifest = Manifest(name=name, files=(file,), licence="", pulled_at=0.0, address=address, accepted=accepted)
    return InstalledModel(name=name, path=Path("/models/tiny.gguf"), manifest=manifest)


AGAIN = "`forebay models rm tiny && forebay models pull tiny`"


@pytest.mark.parametrize(
    ("facts", "level", "advice"),
    [
        ({"absent": "gone"}, Level.BROKEN, "`forebay models pull tiny`"),
        ({"strange": "unknown model"}, Level.BROKEN, "name a model of `forebay models list` in engines.e.model"),
        ({"damaged": "no GGUF"}, Level.BROKEN, "get the file again from where it came from"),
        (
            {"damaged": "cut", "installed": installed("tiny")},
            Level.BROKEN,
            "`forebay models rm tiny && forebay models pull tiny`",
        ),
        ({}, Level.OK, ""),
    ],
)
def test_a_model_that_cannot_run_has_a_way_back(facts: dict[str, object], level: Level, advice: str) -> None:
    """Which one depends on what is wrong with it."""
    seen = models.ModelFacts(engine="e", model="tiny", **facts)  # type: ignore[arg-type] # a table of fields
    assert one(list(models.findings((seen,))), "model")[::2] == (level, advice)


def test_a_path_without_a_file_is_not_pulled() -> None:
    """No pull brings somebody's own file."""
    seen = models.ModelFacts(engine="e", model="/data/own.gguf", absent="no model file at /data/own.gguf")
    assert one(list(models.findings((seen,))), "model")[2].startswith("put the file there, or name a model")


@pytest.mark.parametrize(
    ("model", "command"),
    [
        (installed("tiny"), "forebay models rm tiny && forebay models pull tiny"),
        (
            installed("own-name", "hf:org/repo@main:tiny.gguf"),
            "forebay models rm own-name && forebay models pull hf:org/repo@main:tiny.gguf --name own-name",
        ),
        (
            installed("gemma", accepted="Terms"),
            "forebay models rm gemma && forebay models pull gemma --accept-licence",
        ),
    ],
)
def test_an_altered_model_is_fetched_from_where_it_came(model: InstalledModel, command: str) -> None:
    """Under the name it had, and without asking again for terms that were accepted."""
    seen = models.ModelFacts(engine="e", model=model.name, altered=("tiny.gguf",), installed=model)
    level, what, advice = one(list(models.findings((seen,))), "checksum")
    assert (level, advice) == (Level.BROKEN, f"`{command}`")
    assert "tiny.gguf has another checksum" in what


@pytest.mark.parametrize(
    ("fault", "command", "level", "advice"),
    [
        (0, (), Level.OK, ""),
        (errno.EADDRINUSE, ("python", "/opt/bin/forebay", "serve"), Level.NOTE, ""),
        (
            errno.EADDRINUSE,
            ("nginx",),
            Level.BROKEN,
            "`kill 7` ends what listens there (nginx); or set",
        ),
        (errno.EADDRINUSE, None, Level.BROKEN, "set server.listen: 192.0.2.1:81 in the configuration, or stop"),
        (errno.EACCES, None, Level.BROKEN, "set server.listen: 192.0.2.1:81 in the configuration: ports below 1024"),
        (errno.EADDRNOTAVAIL, None, Level.BROKEN, "set an address of this box in server.listen"),
    ],
)
def test_an_address_that_cannot_be_had(fault: int, command: tuple[str, ...] | None, level: Level, advice: str) -> None:
    """A gateway that runs already is no fault; others are named, as far as they can be."""
    holder = Listener(7, command) if command else None
    facts = ports.PortFacts(
        key="server.listen",
        place="192.0.2.1:80",
        host="192.0.2.1",
        fault=fault,
        holder=holder,
        free=81,
    )
    found = one(list(ports.findings((facts,))), "port")
    assert found[0] is level
    assert found[2].startswith(advice)


@pytest.mark.parametrize(
    ("status", "variable", "check", "level", "word"),
    [
        (200, "BIG_KEY", "key", Level.OK, ""),
        (401, "BIG_KEY", "key", Level.BROKEN, "export BIG_KEY=…"),
        (403, "BIG_KEY", "key", Level.BROKEN, "export BIG_KEY=…"),
        (401, None, "key", Level.BROKEN, "api_key: ${NAME}"),
        (302, "BIG_KEY", "provider", Level.BROKEN, "backends.big.base_url"),
        (404, "BIG_KEY", "provider", Level.WARNING, "…/v1"),
        (429, "BIG_KEY", "provider", Level.WARNING, "again"),
        (503, "BIG_KEY", "provider", Level.WARNING, "again"),
        (0, "BIG_KEY", "provider", Level.BROKEN, "`proxy`"),
    ],
)
def test_what_a_provider_says_is_taken_as_it_is_meant(
    status: int, variable: str | None, check: str, level: Level, word: str
) -> None:
    """Only a refusal is one; what says nothing of the key is not held against it."""
    reply = providers.Reply(**{**fields(), "status": status, "variable": variable})  # type: ignore[arg-type] # as above
    found = one(list(providers.findings((reply,))), check)
    assert found[0] is level
    assert word in found[2]


@pytest.mark.parametrize(("listed", "levels"), [((), [Level.NOTE]), (("gpt-5-2025-08-07",), []), (("gpt-5",), [])])
def test_a_model_that_is_not_listed_is_worth_a_word(listed: tuple[str, ...], levels: list[Level]) -> None:
    """A name without its date is its newest version's."""
    reply = providers.Reply(**{**fields(), "status": 200, "models": listed})  # type: ignore[arg-type] # as above
    assert [each.level for each in providers.findings((reply,)) if each.check == "provider"] == levels


def fields() -> dict[str, object]:
    """Those of a reply, to be changed."""
    return {name: getattr(REPLY, name) for name in REPLY.__struct_fields__}


@pytest.mark.parametrize(
    ("ahead", "level"),
    [
        ({}, Level.OK),
        ({"a": 3.0}, Level.OK),
        ({"a": 61.0}, Level.BROKEN),
        ({"a": -61.0}, Level.BROKEN),
        ({"a": 5000.0, "b": 1.0}, Level.OK),
    ],
)
def test_one_provider_that_agrees_is_enough(ahead: dict[str, float], level: Level) -> None:
    """The other has a wrong clock itself."""
    assert one(list(clock.findings(clock.Facts(now=NOON, ahead=ahead))), "clock")[0] is level


def test_a_request_of_this_moment_is_not_of_the_future() -> None:
    """Clocks are put right by a little all the time."""
    assert one(list(clock.findings(clock.Facts(now=NOON, newest=NOON + 1))), "clock")[0] is Level.OK
    level, what, _ = one(list(clock.findings(clock.Facts(now=NOON, newest=NOON + 7200))), "clock")
    assert (level, "2 hours before the newest request" in what) == (Level.BROKEN, True)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """Nowhere to write, and little room."""
    shut = storage.Facts(home=tmp_path, writable=False, free=10**12)
    assert one(list(storage.findings(shut)), "disk")[0] is Level.BROKEN
    full = storage.Facts(home=tmp_path, writable=True, free=10**8)
    assert one(list(storage.findings(full)), "disk")[0] is Level.WARNING
