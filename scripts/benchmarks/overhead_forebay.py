"""The Forebay that `overhead` measures: everything on, one attached engine as light tier, and nothing learnt."""

import contextlib
import hashlib
import json
import pathlib
import re
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import NamedTuple

import httpx

from scripts.benchmarks.overhead_measure import KEY, Gateway, body
from scripts.benchmarks.run_gateway import NotStartedError, free_port, gateway, processes_of

CONFIG = """
schema_version: 1
server: {{listen: "127.0.0.1:{api}", admin_listen: "127.0.0.1:{admin}"}}
engines:
  bench: {{kind: attached, urls: ["{url}"], model: bench, parallel: 64, context: 32768}}
backends:
  local: {{engine: bench}}
  mini: {{provider: openai, base_url: "{url}/v1", model: bench, price: {{input: 0.25, output: 2}}}}
  big: {{provider: openai, base_url: "{url}/v1", model: bench, price: {{input: 3, output: 15}}}}
tiers: {{light: [local], mid: [mini], premium: [big]}}
policy: {{default_regions: any, default_class: pro}}
classes:
  pro: {{priority: normal, ttft_ms: 1000, itl_ms: 60}}
confidence: {{trigger_words: ["as an ai language model"]}}
auth: {{mode: keys}}
tenants:
  bench: {{class: pro, keys: [{{name: bench, hash: "sha256:{hash}"}}]}}
log: {{requests: stdout}}
"""


_COUNTED = re.compile(r"^forebay_requests_total\{(.*)\} (\S+)$", re.MULTILINE)
_TRIES, _PAUSE_S = 300, 0.1


class Forebay(NamedTuple):
    """A running Forebay, by the two names that it is asked by, and the port of its metrics."""

    gateways: tuple[Gateway, ...]
    admin: int

    def elsewhere(self) -> int:
        """Requests that were not answered by the light tier, so far: what they cost is not what is asked here."""
        text = httpx.get(f"http://127.0.0.1:{self.admin}/metrics", timeout=10, trust_env=False).text
        counted = _COUNTED.findall(text)
        return sum(int(float(number)) for labels, number in counted if 'tier="light"' not in labels)


@contextlib.contextmanager
def forebay(folder: pathlib.Path, behind: int) -> Iterator[Forebay]:
    """A Forebay in front of port `behind`, once its light tier answers; `folder` is made. Raises NotStartedError."""
    api, admin = free_port(), free_port()
    folder.mkdir()
    write_home(folder, api=api, admin=admin, behind=behind)
    with gateway(folder, api):
        _wait_for_light(api)
        pids = tuple(processes_of(folder))
        names = (("auto", "auto"), ("pinned", "local"))
        yield Forebay(
            tuple(Gateway(f"forebay, {how}", version("forebay"), api, pids, name) for how, name in names), admin
        )


def _wait_for_light(api: int) -> None:
    """Ask until the light tier answers: a gateway is ready when any tier is, and the cloud's are at once."""
    url, headers, found = f"http://127.0.0.1:{api}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}, {}
    for _ in range(_TRIES):
        answer = httpx.post(url, content=body("auto", stream=False), headers=headers, timeout=10, trust_env=False)
        found = answer.json().get("forebay", {})
        if found.get("tier") == "light":
            return
        threading.Event().wait(_PAUSE_S)
    raise NotStartedError(f"its light tier does not answer: {found}")


def write_home(home: pathlib.Path, *, api: int, admin: int, behind: int) -> None:
    """Its folder: the configuration, and floors that no answer of the upstream falls below."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    text = CONFIG.format(api=api, admin=admin, url=f"http://127.0.0.1:{behind}", hash=digest)
    (home / "forebay.yaml").write_text(text, encoding="utf-8")
    calibration = home / "calibration"
    calibration.mkdir()
    floors = {band: {"low": -2.0, "usual": -0.5} for band in ("cold", "warm", "hot")}
    measured = {"model": "bench", "measured_at": 0.0, "answers": 0, "floors": floors}
    (calibration / "local.json").write_text(json.dumps(measured), encoding="utf-8")
