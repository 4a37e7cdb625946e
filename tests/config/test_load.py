"""From a file to a Config: what comes out of a valid one, and what is said when it cannot even be read."""

import time
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.errors import ConfigError
from gateway.config.load import MAX_BYTES, MAX_PROBLEMS, load
from tests.config.files import ENVIRON, VALID, config_of, edited, lines_of, problems_of


def said_of(path: Path) -> str:
    """The one line that is said about a file."""
    with pytest.raises(ConfigError) as raised:
        load(path, ENVIRON)
    return str(raised.value)


def test_a_valid_file_becomes_a_frozen_config(tmp_path: Path) -> None:
    """Every value arrives with its type, secrets filled in and hidden."""
    file = tmp_path / "forebay.yaml"
    file.write_text(VALID)
    config = load(file, ENVIRON)
    mini = config.backends["mini"]
    assert mini.price is not None
    assert mini.price.input == Decimal("0.25")
    assert mini.api_key is not None
    assert mini.api_key.get_secret_value() == ENVIRON["KEY"]
    assert ENVIRON["KEY"] not in repr(config)
    assert config.tenants["acme"].sla == "pro"
    assert config.tiers.light == ("local",)
    with pytest.raises(ValueError, match="frozen"):
        config.server.region = "elsewhere"


def test_prices_are_read_to_the_digit() -> None:
    """A price is the decimal that was written, not the nearest binary fraction."""
    config = config_of(edited(("input: 0.25, output: 2.00", "input: 0.1, output: 0.000000003")))
    price = config.backends["mini"].price
    assert price is not None
    assert (price.input, price.output) == (Decimal("0.1"), Decimal("0.000000003"))


def test_the_shape_in_the_design_is_accepted() -> None:
    """One-line mappings with `${NAME}` unquoted, groups, classes and aliases, as the design writes them."""
    text = """\
schema_version: 1
server: {listen: 127.0.0.1:8080, admin_listen: 127.0.0.1:8081, region: eu-west}
engines:
  small: {kind: llama_cpp, model: smollm2-135m-instruct, parallel: 8, context: 4096}
backends:
  local: {engine: small}
  mini:  {provider: openai, base_url: https://api.openai.com/v1, model: gpt-5-mini, api_key: ${OPENAI_API_KEY},
          region: us-east, price: {input: 0.25, output: 2.00}}
tiers: {light: [local], mid: [mini]}
aliases: {gpt-4o-mini: auto}
regions: {eu: [eu-west, eu-central]}
policy: {default_regions: any, escalation: {max_attempts: 3, max_cost_usd: 0.25}}
classes:
  free: {priority: batch, default_tier: light, max_tier: mid}
  pro: {priority: normal, ttft_ms: 1000, itl_ms: 60, default_tier: mid, max_tier: premium}
auth: {mode: none}
"""
    config = config_of(text, {"OPENAI_API_KEY": "a-secret-of-the-test"})
    assert config.backends["mini"].region == "us-east"
    assert config.classes["pro"].ttft_ms == 1000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there: one line, without a line number."""
    assert said_of(tmp_path / "no.yaml") == f"{tmp_path}/no.yaml: there is no such file"


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """A directory in place of a file: one line that says what to do."""
    assert said_of(tmp_path) == f"{tmp_path}: is a directory; name the file in it"


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """What the system says about any other failure is passed on in one line."""
    file = tmp_path / "file"
    file.write_text("")
    assert said_of(file / "below") == f"{file}/below: cannot be read: Not a directory"
    assert said_of(Path("a\0b")).endswith("cannot be read: embedded null byte")


def test_a_file_over_the_limit_is_refused() -> None:
    """One byte more than 1 MiB, and nothing of it is looked at."""
    content = VALID.encode() + b"#" * (MAX_BYTES - len(VALID))
    assert not problems_of(content)
    assert lines_of(content + b"#") == ["1: more than 1 MiB; that is no configuration file"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# only a comment\n", b"---\n...\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(content: bytes) -> None:
    """A file without content says what it should have."""
    assert lines_of(content) == ["1: the file is empty; expected schema_version, backends and tiers"]


@pytest.mark.parametrize("content", ["- 1\n- 2\n", "just a word\n", "12\n"])
def test_a_file_without_keys_is_refused(content: str) -> None:
    """A list or a word is no configuration."""
    assert lines_of(content) == ["1: expected keys with values, such as schema_version: 1"]


def test_a_byte_order_mark_is_no_text() -> None:
    """Files of Windows editors begin with one."""
    assert not problems_of(b"\xef\xbb\xbf" + VALID.encode())


def test_bytes_that_are_no_text_are_located() -> None:
    """Latin-1 in a comment: the line of the first byte that is not UTF-8, byte order mark or not."""
    content = VALID.replace("region: eu-west\n", "region: eu-west # Z\xfcrich\n").encode("latin-1")
    assert lines_of(content) == ["5: no UTF-8 text"]
    assert lines_of(b"\xef\xbb\xbf" + content) == ["5: no UTF-8 text"]


def test_all_problems_are_reported_at_once_and_in_order() -> None:
    """Syntax traps, unset variables, schema and rules speak together, in the order of the file."""
    text = edited(
        ("  region: eu-west\n", "  region: no\n"),
        ("api_key: ${KEY}", "api_key: ${KEYS}"),
        ("price:", "prize:"),
        ("light: [local]", "light: [lokal]"),
        ("default_tier: mid", "default_tier: middle"),
        ("class: pro", "class: por"),
    )
    said = lines_of(text)
    assert [line.partition(":")[0] for line in said] == ["5", "22", "24", "26", "37", "40"]
    assert said[3] == '26: tiers.light[0]: no backend is called "lokal"; did you mean "local"?'
    assert said[5] == '40: tenants.acme.class: no class is called "por"; did you mean "pro"?'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("price:", "prize:"),
        ("price: {input: 0.25, output: 2.00}", "price: {input: 0.25}"),
        ("provider: openai", "provider: openia"),
        ("provider: openai", "provide: openai"),
        ("region: us-east", "region: [us-east]"),
        ("default_regions: any", "default_regions: eny"),
        ("default_regions: any", "default_region: any"),
        ("kind: llama_cpp", "kind: lama_cpp"),
        ("    kind: attached\n", ""),
        ("urls: [http://127.0.0.1:8000]", "urls: http://127.0.0.1:8000"),
        ("urls: [http://127.0.0.1:8000]", "url: [http://127.0.0.1:8000]"),
        ("engine: small", "engine: {name: small}"),
        ("    engine: small", "    engin: small"),
        ("light: [local]", "light: local"),
        ("light: [local]", "light: [1]"),
        ("eu: [eu-west, eu-central]", "eu: eu-west"),
        ("default_tier: mid", "default_tier: middle"),
        ("    class: pro", "    class: 1"),
        ("mode: keys", "mode: kees"),
        ("name: ci", "nam: ci"),
        ("      - name: ci\n        hash", "      - hash"),
        ("listen: 127.0.0.1:8080\n  admin", "listen: 8080\n  admin"),
        ("    kind: llama_cpp", "    kidn: llama_cpp"),
        ("{input: 0.25,", "{inptu: 0.25,"),
        ("base_url: https://api.example.com/v1", "base_url: ftp://api.example.com"),
    ],
)
def test_one_mistake_is_one_problem(old: str, new: str) -> None:
    """What only follows from a mistake is not reported beside it."""
    assert len(lines_of(edited((old, new)))) == 1


def test_a_flood_of_problems_is_cut() -> None:
    """A file of another program: the first hundred problems, and a word that there are more."""
    said = lines_of(VALID + "".join(f"key{number}: 1\n" for number in range(5 * MAX_PROBLEMS)))
    assert len(said) == MAX_PROBLEMS + 1
    assert said[-1].endswith("and more; these are the first 100")


@pytest.mark.parametrize("value", ["m" * 900_000, "${KEY}" * 100_000, "x1" * 400_000])
def test_a_huge_value_is_refused_in_no_time(value: str) -> None:
    """Neither filling it in nor looking for secrets in it takes more than linear time, and it is not repeated."""
    started = time.monotonic()
    (said,) = lines_of(edited(("gpt-5-mini", value)))
    assert time.monotonic() - started < 20
    assert len(said) < 200


def test_problems_have_columns() -> None:
    """An editor can jump to the very word."""
    (problem,) = problems_of(edited(("price: {input: 0.25, output: 2.00}", "price: {input: 0.25, output: two}")))
    assert (problem.line, problem.column) == (24, 34)
