"""`forebay serve` from its first line: what it says when it cannot start, and what works before all of it is up."""

import json
import shlex
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from tests.e2e.configs import SECRETS, TO_LIGHT, Config, base, one_engine, provider, three_tiers
from tests.e2e.homes import engine_of, install_model, processes_of
from tests.e2e.stack import COMMAND, Stack, eventually, running, start, started
from tests.faults.handle import FaultServer

SOON_S = 30.0


def complaint(home: Path, config: Config | str, environ: Mapping[str, str] | None = None) -> str:
    """The one line of a start that fails: soon, with exit code 1, and leaving nothing behind that runs."""
    stack = start(home, config, environ)
    try:
        code = stack.process.wait(SOON_S)
    finally:
        stack.close()
    (line,) = stack.err.all()
    assert code == 1
    assert stack.out.all() == []
    return line


def test_a_model_file_that_is_not_there(home: Path) -> None:
    """Named by its path, with what else could be given."""
    said = complaint(home, one_engine("/nowhere/small.gguf"))
    assert said == (
        "forebay: no model file at /nowhere/small.gguf: correct the path, or name a model of `forebay models list`"
    )


def test_a_model_that_was_not_pulled(home: Path) -> None:
    """With the command that gets it."""
    assert "run `forebay models pull smollm2-135m-instruct`" in complaint(home, one_engine())


def test_a_model_that_nobody_knows(home: Path) -> None:
    """With the nearest name that is known."""
    assert "unknown model 'smolm2-135m-instruct': did you mean 'smollm2-135m-instruct'?" in complaint(
        home, one_engine("smolm2-135m-instruct")
    )


def test_a_file_that_is_no_model(home: Path) -> None:
    """Some other file by the name of a model."""
    file = home / "notes.gguf"
    file.write_text("dear diary, ")
    said = complaint(home, one_engine(str(file)))
    assert said.startswith(f"forebay: cannot use {file}: it is not a GGUF file")
    assert said.endswith("fetch the model again or give another file")


def test_a_model_that_is_cut_short(home: Path, model_path: Path) -> None:
    """A download that broke off: header and list of tensors are there, the tensors are not."""
    file = home / "half.gguf"
    with model_path.open("rb") as whole:
        file.write_bytes(whole.read(model_path.stat().st_size // 10))
    said = complaint(home, one_engine(str(file)))
    assert f"cannot use {file}: it is cut short: " in said
    assert said.endswith("fetch the model again or give another file")


@pytest.mark.parametrize("which", ["listen", "admin_listen"])
def test_an_address_in_use(home: Path, faults: FaultServer, which: str) -> None:
    """Either of the two: said before anything is started for nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = {**base()["server"], which: address}
        said = complaint(home, three_tiers(faults, server=server), SECRETS)
    assert said == (
        f"forebay: cannot listen on {address}: Address already in use; "
        "stop what listens there, or change server.listen or server.admin_listen"
    )


def test_a_second_start_by_mistake_leaves_the_first_alone(home: Path, model_path: Path) -> None:
    """The same home and the same port: the second one complains, and the engine of the first goes on."""
    install_model(home, model_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = one_engine(server={**base()["server"], "listen": address})
    with started(home, config) as first:
        first.listening().ready("light")
        engine = engine_of(home)
        second = start(home, config)
        assert second.process.wait(SOON_S) == 1
        second.err.join()
        second.http.close()
        assert "cannot listen on" in "".join(second.err.all())
        assert first.chat("local", max_tokens=4).status_code == 200
        assert engine_of(home) == engine


def test_a_secret_that_is_not_set(home: Path, faults: FaultServer) -> None:
    """File, line and key, and what to do."""
    said = complaint(home, three_tiers(faults))
    assert f"{home / 'forebay.yaml'}:" in said
    assert "backends.big.api_key" in said
    assert "the environment variable BIG_KEY is not set; set it, or remove this backend" in said


def test_a_file_that_is_not_there(home: Path) -> None:
    """Named as it was given."""
    process = subprocess.run(
        [str(COMMAND), "serve", "--config", str(home / "none.yaml")], capture_output=True, timeout=SOON_S, check=False
    )
    assert (process.returncode, process.stdout) == (1, b"")
    assert process.stderr.decode() == f"{home / 'none.yaml'}: there is no such file\n"


def test_a_key_that_does_not_exist(home: Path) -> None:
    """Its line, and what was probably meant."""
    said = complaint(home, yaml.safe_dump(one_engine(), sort_keys=False).replace("default_regions", "default_regoins"))
    assert said.startswith(f"{home / 'forebay.yaml'}:7:")
    assert "policy.default_regoins" in said
    assert "default_regions" in said


@pytest.mark.parametrize("obstacle", ["a folder", "another database", "no database"])
def test_a_ledger_that_cannot_be_written(home: Path, faults: FaultServer, obstacle: str) -> None:
    """Nothing is answered that could not be accounted for; what is there is left as it is."""
    ledger = home / "ledger.sqlite"
    if obstacle == "a folder":
        ledger.mkdir()
    elif obstacle == "no database":
        ledger.write_text("dear diary, " * 1000)
    else:
        with sqlite3.connect(ledger) as connection:
            connection.execute("CREATE TABLE diary (dear TEXT)")
        connection.close()
    said = complaint(home, three_tiers(faults), SECRETS)
    assert said.startswith(f"forebay: cannot use the ledger {ledger}: ")
    assert said.endswith("; mend that, or set FOREBAY_HOME to another folder")


@pytest.mark.parametrize("obstacle", ["a file is in the way", "nobody may write there"])
def test_a_home_that_cannot_be_made(home: Path, obstacle: str) -> None:
    """Which folder, and the variable that names another."""
    place = Path("/proc/forebay") if obstacle == "nobody may write there" else home / "file" / "home"
    (home / "file").write_text("")
    said = complaint(home, one_engine(), {"FOREBAY_HOME": str(place)})
    assert said.startswith(f"forebay: cannot make the folder {place} (")
    assert said.endswith("): set FOREBAY_HOME to one that can be made")


def test_the_printed_command_works(real: Stack) -> None:
    """The line after `try:`, pasted into a shell, is answered."""
    line = real.err.wait(lambda line: line.startswith("  curl "), SOON_S)
    assert line is not None
    command = ["bash", "-c", line] if shutil.which("curl") else shlex.split(line)
    if command[0] == "bash":
        body = json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    else:
        _, url, _, header, _, data = command
        name, _, value = header.partition(": ")
        body = real.http.post(url, headers={name: value}, content=data).json()
    assert body["choices"][0]["message"]["content"]


def test_the_second_start_is_as_quick_as_the_first(home: Path, model_path: Path) -> None:
    """A home that has been used: nothing is repaired, waited for or pulled again, and the books go on."""
    install_model(home, model_path)
    for times in (1, 2):
        began = time.monotonic()
        with started(home, one_engine()) as stack:
            stack.listening().ready("light")
            took = time.monotonic() - began
            assert stack.chat("local", max_tokens=4).status_code == 200
        assert len(stack.books.requests()) == times
        assert took < 20


@contextmanager
def loading(home: Path, model: Path, config: Config) -> Iterator[tuple[Stack, Callable[[], None]]]:
    """A gateway that listens, whose engine loads its model until the function is called."""
    install_model(home, model)
    with started(home, config) as stack:
        eventually(lambda: engine_of(home) is not None, "the engine is launched")
        engine = psutil.Process(engine_of(home))
        engine.suspend()
        try:
            yield stack.listening(), engine.resume
        finally:
            engine.resume()


def test_while_its_model_loads_the_next_tier_answers(home: Path, model_path: Path, faults: FaultServer) -> None:
    """/ready says which tier is not there yet, and why; what asks for the engine by name waits for it."""
    config = one_engine(gate={"max_wait_alone_ms": 60_000})
    config["backends"]["mini"] = provider(faults, "mid", price={"input": 1, "output": 1})
    config["tiers"]["mid"] = ["mini"]
    with loading(home, model_path, config) as (stack, let_it_load), ThreadPoolExecutor(1) as pool:
        ready = stack.http.get(f"{stack.url}/ready")
        light = ready.json()["tiers"]["light"]
        assert (ready.status_code, ready.json()["status"], light["state"]) == (200, "ready", "unavailable")
        assert light["backends"]["local"]["detail"].startswith("starting")
        answer = stack.chat("auto", headers=TO_LIGHT)
        assert (answer.status_code, answer.headers["x-forebay-backend"]) == (200, "mini")
        assert answer.headers["x-forebay-reason"] == "engine_unhealthy"
        patient = pool.submit(stack.chat, "local", max_tokens=4)
        eventually(lambda: stack.gate("small")["waiting"] == 1, "somebody waits for the engine")
        let_it_load()
        assert patient.result().headers["x-forebay-backend"] == "local"
        assert stack.readiness()["tiers"]["light"]["state"] == "ready"


def test_while_the_only_model_loads_callers_are_told_to_come_back(home: Path, model_path: Path) -> None:
    """503 from /ready and from the API, with a time, and then it is there."""
    with loading(home, model_path, one_engine(gate={"max_wait_alone_ms": 300})) as (stack, let_it_load):
        ready = stack.http.get(f"{stack.url}/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
        assert ready.json()["tiers"]["light"]["state"] == "unavailable"
        assert int(ready.headers["retry-after"]) >= 1
        for model in ("auto", "local"):
            answer = stack.chat(model)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        let_it_load()
        stack.ready("light")
        assert stack.chat(max_tokens=4).status_code == 200


def test_the_documents_have_the_routes_that_are_there(tiers: Stack) -> None:
    """/openapi.json and /docs tell of the request path, and every page they tell of is found."""
    document = tiers.http.get(f"{tiers.url}/openapi.json").json()
    assert document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["required"]
    for path, methods in document["paths"].items():
        asked = path.replace("{name}", "light")
        for method in methods:
            assert tiers.http.request(method, f"{tiers.url}{asked}").status_code not in (404, 405), (method, path)
    page = tiers.http.get(f"{tiers.url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert all(f"<code>{path}</code>" in page.text for path in document["paths"])


def test_loopback_of_ipv6(faults: FaultServer) -> None:
    """[::1] is an address like any other, and stands in brackets where it is printed."""
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    server = {**base()["server"], "listen": "[::1]:0", "admin_listen": "[::1]:0"}
    with running(three_tiers(faults, server=server), SECRETS) as stack:
        assert stack.url.startswith("http://[::1]:")
        assert stack.chat("premium").status_code == 200
        assert stack.metric("forebay_requests_total") == 1


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as free:
            free.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_signal_before_it_listens(home: Path, model_path: Path) -> None:
    """Who changes their mind while it starts gets exit code 0, and nothing stays behind."""
    install_model(home, model_path)
    with started(home, one_engine()) as stack:
        eventually(lambda: len(processes_of(home)) > 1, "the engine host is being started")
        stack.terminate()
        assert stack.process.wait(SOON_S) == 0
        assert stack.err.all() == []
