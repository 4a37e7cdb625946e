"""A valid configuration to spoil, and what is said about the spoilt one."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gateway.config.errors import ConfigError, Problem
from gateway.config.load import parse
from gateway.config.schema import Config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
FILE = "forebay.yaml"

ENVIRON: Mapping[str, str] = MappingProxyType({"KEY": "a-secret-of-the-test"})

HASH = "sha256:" + "a" * 64
OTHER_HASH = "sha256:" + "b" * 64

VALID = f"""\
schema_version: 1
server:
  listen: 127.0.0.1:8080
  admin_listen: 127.0.0.1:8081
  region: eu-west
engines:
  small:
    kind: llama_cpp
    model: smollm2-135m-instruct
  vllm:
    kind: attached
    urls: [http://127.0.0.1:8000]
backends:
  local:
    engine: small
  gpu:
    engine: vllm
  mini:
    provider: openai
    base_url: https://api.example.com/v1
    model: gpt-5-mini
    api_key: ${{KEY}}
    region: us-east
    price: {{input: 0.25, output: 2.00}}
tiers:
  light: [local]
  mid: [gpu]
  premium: [mini]
aliases:
  gpt-4o: auto
regions:
  eu: [eu-west, eu-central]
policy:
  default_regions: any
classes:
  pro:
    default_tier: mid
tenants:
  acme:
    class: pro
    regions: [eu]
    keys:
      - name: ci
        hash: {HASH}
auth:
  mode: keys
"""


def edited(*replacements: tuple[str, str], text: str = VALID) -> str:
    """`text` with each old piece, which must be there once, replaced by the new one."""
    for old, new in replacements:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


def config_of(text: str, environ: Mapping[str, str] = ENVIRON) -> Config:
    """What `text` says."""
    return parse(text.encode(), FILE, environ)


def problems_of(content: str | bytes, environ: Mapping[str, str] = ENVIRON) -> tuple[Problem, ...]:
    """The problems of a file, none for a valid one."""
    try:
        parse(content.encode() if isinstance(content, str) else content, FILE, environ)
    except ConfigError as error:
        return error.problems
    return ()


def lines_of(content: str | bytes, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """The problems of a file as a person reads them, without the file's name: `14: backends.mini: …`."""
    return [str(problem).removeprefix(f"{FILE}:") for problem in problems_of(content, environ)]
