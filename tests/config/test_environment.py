"""`${NAME}`: what is filled in, what is missing, and that nothing filled in is ever shown."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.config.environment import debug, home, no_color, process_environment, substitute
from gateway.config.schema import Config
from tests.config.files import ENVIRON, VALID, config_of, edited, lines_of, problems_of

GIVEN: Mapping[str, str] = {"NAME": "value", "EMPTY": "", "DOLLAR": "${NAME}", "KEY": "a-secret-of-the-test"}


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("${NAME}", "value"),
        ("a ${NAME} and ${NAME}", "a value and value"),
        ("${NONE:-default}", "default"),
        ("${NAME:-default}", "value"),
        ("${EMPTY:-default}", "default"),
        ("${NONE:-}", ""),
        ("${NONE:-https://a.example:1/v1?x}", "https://a.example:1/v1?x"),
        ("$${NAME}", "${NAME}"),
        ("$NAME {NAME}", "$NAME {NAME}"),
        ("${DOLLAR}", "${NAME}"),
    ],
)
def test_references_are_filled_in_once(written: str, filled: str) -> None:
    """Set, unset, empty, with a default, escaped; what comes in is not looked through again."""
    done = substitute({"a": [written]}, GIVEN)
    assert done.tree == {"a": [filled]}
    assert done.findings == ()


@pytest.mark.parametrize(
    "written", ["${", "${}", "${1NAME}", "${NA ME}", "${NAME", "${NAME:default}", "${NAME:-${NAME}}"]
)
def test_malformed_references_are_refused(written: str) -> None:
    """What looks like a reference and is none is not sent on as text."""
    (finding,) = substitute({"a": written}, GIVEN).findings
    assert finding.message == "expected ${NAME} or ${NAME:-default}"


def test_only_texts_are_filled_in() -> None:
    """Numbers stay numbers, and keys are taken as they are."""
    assert substitute({"a": 1, "b": None, "c": {"d": True}}, GIVEN).tree == {"a": 1, "b": None, "c": {"d": True}}
    said = lines_of(edited(("gpt-4o: auto", "${NAME}: auto")), GIVEN)
    assert said == ['30: aliases."${NAME}": keys are taken as they are: ${…} stands in values only']


def test_an_unset_variable_is_named_with_line_and_key() -> None:
    """An unset secret says what to do: set it, or do without the backend."""
    said = lines_of(VALID, {})
    assert said == [
        "22: backends.mini.api_key: the environment variable KEY is not set; set it, or remove this backend"
    ]


def test_an_empty_variable_counts_as_unset() -> None:
    """An empty secret is none; `${NAME:-default}` works for everything but secrets."""
    text = edited(("model: gpt-5-mini", "model: ${MODEL}"))
    said = lines_of(text, {**ENVIRON, "MODEL": ""})
    assert said == [
        "21: backends.mini.model: the environment variable MODEL is empty; set it, or write ${MODEL:-default}"
    ]


def test_a_misspelt_variable_is_suggested() -> None:
    """The name of a variable that is set, never its value."""
    (problem,) = problems_of(edited(("${KEY}", "${OPENAI_APIKEY}")), {"OPENAI_API_KEY": "a-secret-of-the-test"})
    assert problem.suggestion == "${OPENAI_API_KEY}"


@pytest.mark.parametrize("value", ["two\nlines", "tab\there", "\udcff"])
def test_values_that_fit_no_header_are_refused(value: str) -> None:
    """A key with a line break would end in a header; it is refused without being shown."""
    said = lines_of(VALID, {"KEY": value})
    message = "the environment variable KEY holds a line break, a control character or no valid UTF-8"
    assert said == [f"22: backends.mini.api_key: {message}"]


@pytest.mark.parametrize("written", ["sk-plain", "${KEY:-sk-plain}", "${KEY}x", "Bearer ${KEY}", "$${KEY}"])
def test_secrets_stand_in_no_file(written: str) -> None:
    """An `api_key` is one `${NAME}` and nothing else: a default would be a secret in the file."""
    said = lines_of(edited(("${KEY}", f'"{written}"')))
    assert said == [
        "22: backends.mini.api_key: expected ${NAME}: secrets stand in no file, only their names",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("listen: 127.0.0.1:8080\n  admin", "listen: ${SECRET}\n  admin"),
        ("  region: eu-west", "  region: ${SECRET}"),
        ("kind: llama_cpp", "kind: ${SECRET}"),
        ("urls: [http://127.0.0.1:8000]", "urls: ['${SECRET}']"),
        ("urls: [http://127.0.0.1:8000]", "urls: ['https://${SECRET}/v1']"),
        ("urls: [http://127.0.0.1:8000]", "urls: ['https://${SECRET}:99999']"),
        ("engine: small", "engine: ${SECRET}"),
        ("provider: openai", "provider: ${SECRET}"),
        ("https://api.example.com/v1", "http://${SECRET}.example.com/v1"),
        ("https://api.example.com/v1", "https://user:${SECRET}@example.com/v1"),
        ("price: {input: 0.25, output: 2.00}", "price: {input: '${SECRET}', output: 1}"),
        ("light: [local]", "light: ['${SECRET}']"),
        ("gpt-4o: auto", "gpt-4o: ${SECRET}"),
        ("default_regions: any", "default_regions: ['${SECRET}']"),
        ("default_regions: any", "default_regions: '${SECRET}'"),
        ("default_tier: mid", "default_tier: ${SECRET}"),
        ("    class: pro", "    class: ${SECRET}"),
        ("    regions: [eu]", "    regions: ['${SECRET}', '${SECRET}x']"),
        ("name: ci", "name: ${SECRET}\n        hash2: ${SECRET}"),
        ("mode: keys", "mode: ${SECRET}"),
        ("default_regions: any", "# nothing"),
    ],
)
def test_no_message_shows_what_was_filled_in(old: str, new: str) -> None:
    """Wherever a secret was put by mistake, problems show its name; suggestions drawn from it are withheld."""
    secret = "eu-wezt-8f3a"
    text = edited((old, new), ("region: us-east", "region: ${NEAR}"))
    said = "\n".join(lines_of(text, {**ENVIRON, "SECRET": secret, "NEAR": f"{secret}b"}))
    assert said
    assert secret not in said
    assert secret[:7] not in said


def test_the_process_environment_is_a_copy() -> None:
    """What is read once does not change under its reader."""
    environ = process_environment()
    assert dict(environ) == dict(process_environment())
    assert environ is not process_environment()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "~/.forebay"),
        ({"FOREBAY_HOME": ""}, "~/.forebay"),
        ({"FOREBAY_HOME": "~/x"}, "~/x"),
        ({"FOREBAY_HOME": "/x"}, "/x"),
    ],
)
def test_home_is_where_the_variable_says(environ: Mapping[str, str], expected: str) -> None:
    """FOREBAY_HOME, or a folder in the user's own."""
    assert home(environ) == Path(expected).expanduser()


@pytest.mark.parametrize(("value", "wanted"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_switches(value: str | None, *, wanted: bool) -> None:
    """FOREBAY_DEBUG is off when unset, empty or 0; NO_COLOR counts whatever it is set to."""
    environ = {} if value is None else {"FOREBAY_DEBUG": value, "NO_COLOR": value}
    assert debug(environ) is wanted
    assert no_color(environ) is bool(value)


def test_secrets_are_hidden_in_the_config() -> None:
    """Neither a log line nor a traceback shows a key."""
    config: Config = config_of(VALID)
    assert ENVIRON["KEY"] not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
