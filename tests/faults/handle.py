"""The fault server as tests see it: a process to program, and its invoice."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
import msgspec

from tests.faults.behaviours import Behaviour, Call, Door, Price, Program, State, Wanted
from tests.pki import Pair

_ROOT = Path(__file__).parents[2]


class FaultServer:
    """A running fault server. `url` is where engines and providers are called, without /v1."""

    def __init__(self, port: int, control: httpx.Client, scheme: str = "http") -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self._control = control

    def prices(self, **by_model: Price) -> None:
        """What the models cost; those not named cost what they did."""
        self._post("/prices", by_model)

    def next(self, model: str, *behaviours: Behaviour) -> None:
        """What the next calls of `model` meet, one each."""
        self._post("/program", Program(model, behaviours))

    def always(self, model: str, behaviour: Behaviour) -> None:
        """What every other call of `model` meets."""
        self._post("/program", Program(model, (behaviour,), always=True))

    def release(self, name: str) -> None:
        """Let go whatever is held by this name, now or later."""
        self._post("/release", name)

    def health(self, status: int) -> None:
        """What the probes of an engine are answered."""
        self._post("/health", status)

    def door(self, door: Door) -> None:
        """Who may see the list of models, and what is on it."""
        self._post("/door", door)

    def reset(self) -> None:
        """Forget programs and calls, and be well."""
        self._post("/reset", None)

    def wait(
        self,
        what: Literal["arrived", "ended", "open", "held"],
        *,
        least: int = 0,
        most: int = 1_000_000_000,
        model: str | None = None,
        timeout: float = 10.0,
    ) -> int:
        """Wait for a count of calls; fails when it does not come."""
        wanted = Wanted(what=what, model=model, least=least, most=most, timeout=timeout)
        found: int | None = json.loads(self._post("/wait", wanted, timeout=timeout + 5.0))
        assert found is not None, f"not in {timeout} s: {least} to {most} calls {what}; there are {self.calls()}"
        return found

    def state(self) -> State:
        """Calls and connections at this moment."""
        return msgspec.json.decode(self._post("/state", None), type=State)

    def calls(self, *models: str) -> tuple[Call, ...]:
        """The calls since the last reset, in their order; those of all models unless some are named."""
        return tuple(call for call in self.state().calls if not models or call.model in models)

    def settled(self, *models: str) -> tuple[Call, ...]:
        """The calls, once none is under way any more."""
        self.wait("open", most=0)
        return self.calls(*models)

    def _post(self, path: str, body: object, timeout: float = 10.0) -> bytes:
        answer = self._control.post(path, content=msgspec.json.encode(body), timeout=timeout)
        assert answer.status_code == 200, f"the fault server said {answer.text}"
        return answer.content


@contextmanager
def fault_server(folder: Path, pair: Pair | None = None, *, strict: bool = False) -> Iterator[FaultServer]:
    """A fault server of its own, over TLS with a certificate; what it has to say of itself stands in `folder`.

    A strict one takes only bodies that the official clients could have sent.
    """
    module = "tests.faults.strict" if strict else "tests.faults.server"
    shown = () if pair is None else (str(pair.certificate), str(pair.key))
    with (folder / "fault-server.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *shown], cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors
        )
    assert process.stdout is not None
    try:
        ports = json.loads(process.stdout.readline() or "[]")
        assert ports, (folder / "fault-server.err").read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[1]}", trust_env=False) as control:
            yield FaultServer(ports[0], control, "http" if pair is None else "https")
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
