"""The Forebay that `overhead` measures: everything on, one attached engine as light tier, and nothing learnt."""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Iterator
from importlib.metadata import version

from scripts.benchmarks.overhead_measure import KEY, Gateway
from scripts.benchmarks.run_gateway import free_port, gateway, processes_of

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


@contextlib.contextmanager
def forebay(folder: pathlib.Path, behind: int) -> Iterator[tuple[Gateway, ...]]:
    """A running Forebay in front of port `behind`, by the two names that it is asked by; `folder` is made."""
    api, admin = free_port(), free_port()
    folder.mkdir()
    write_home(folder, api=api, admin=admin, behind=behind)
    with gateway(folder, api):
        pids = tuple(processes_of(folder))
        yield tuple(
            Gateway(f"forebay, {how}", version("forebay"), api, pids, model)
            for how, model in (("auto", "auto"), ("pinned", "local"))
        )


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
