"""The files in `configs/`: they load, they say everything there is to say, and the schema beside them is the schema."""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from gateway.config.developer import FILE, developer_config, developer_text
from gateway.config.errors import ConfigError
from gateway.config.export import json_schema, schema_text
from gateway.config.load import load, parse
from gateway.config.schema import Price
from gateway.types import Capability
from tests.config.files import CONFIGS, ROOT

NAMES = ("cpu-developer.yaml", "gpu-node.yaml", "two-region-company.yaml")
KEYS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("OPENAI_API_KEY", "OPENAI_EU_API_KEY", "OPENAI_US_API_KEY", "MISTRAL_API_KEY", "ANTHROPIC_API_KEY"),
        "a-secret-of-the-test",
    )
)


def all_keys() -> set[str]:
    """Every key of the schema, wherever it stands."""
    schema = json_schema()
    return {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}


def spelt_out(text: str, keys: set[str]) -> bytes:
    """A file with its comments of the form `# key: value` made keys."""
    return re.sub(rf"^( *)# (?=({'|'.join(keys)}): )", r"\1", text, flags=re.MULTILINE).encode()


@pytest.mark.parametrize("name", NAMES)
def test_the_example_loads(name: str) -> None:
    """With its secrets set, the file has no problems."""
    assert load(CONFIGS / name, KEYS).backends


def test_there_are_no_other_examples() -> None:
    """A new file is tested as well; compose.yaml is no configuration, and tested in test_service_files.py."""
    assert sorted(path.name for path in CONFIGS.glob("*.yaml")) == sorted((*NAMES, "compose.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_an_editor_finds_the_schema(name: str) -> None:
    """The first line names the schema beside the file."""
    first, *rest = (CONFIGS / name).read_text("utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=forebay.schema.json"
    assert all(len(line) <= 120 for line in rest)


@pytest.mark.parametrize("name", NAMES)
def test_every_section_is_explained(name: str) -> None:
    """Each section has a comment above it or in it: somebody opens the file who has not read anything else."""
    blocks = re.split(r"\n\n(?=(?:#.*\n)*[a-z_]+:)", (CONFIGS / name).read_text("utf-8"))
    assert len(blocks) >= 8
    assert [block for block in blocks if "#" not in block and "schema_version" not in block] == []


def test_the_examples_show_every_key() -> None:
    """Whoever reads the three files has seen all there is, set or in a comment."""
    text = "\n".join((CONFIGS / name).read_text("utf-8") for name in NAMES)
    assert sorted(key for key in all_keys() if not re.search(rf"\b{key}:", text)) == []


def test_the_schema_is_in_step() -> None:
    """The committed schema is what the models say; mend it with: forebay schema > configs/forebay.schema.json"""
    assert (CONFIGS / "forebay.schema.json").read_text("utf-8") == schema_text(), (
        "run: forebay schema > configs/forebay.schema.json"
    )


def test_the_schema_lets_references_stand_in_values_only() -> None:
    """Editors draw no red line under `${NAME}`, and do under a secret in plain text."""
    definitions = json_schema()["$defs"]
    address = definitions["Backend"]["properties"]["base_url"]["anyOf"][0]["pattern"]
    secret = definitions["Backend"]["properties"]["api_key"]["anyOf"][0]["pattern"]
    (name,) = json_schema()["properties"]["backends"]["patternProperties"]
    assert re.search(address, "https://a.example/v1")
    assert re.search(address, "${OPENAI_BASE_URL:-https://api.openai.com/v1}")
    assert not re.search(address, "a.example")
    assert re.search(secret, "${KEY}")
    assert not re.search(secret, "sk-plain")
    assert not re.search(name, "${NAME}")


def test_every_key_says_what_it_is_for() -> None:
    """Editors and messages have something to show for each key and each section."""
    schema = json_schema()
    sections = {"Config": schema, **schema["$defs"]}
    assert [name for name, section in sections.items() if not section.get("description")] == []
    properties = {
        f"{name}.{key}": said
        for name, section in sections.items()
        for key, said in section.get("properties", {}).items()
    }
    assert [key for key, said in properties.items() if not said.get("description") and "$ref" not in said] == []


def test_the_schema_writes_money_as_numbers() -> None:
    """Completion in an editor offers 0.25, not a quoted text."""
    assert json_schema()["$defs"]["Escalation"]["properties"]["max_cost_usd"]["default"] == 0.25


def test_the_developer_example_is_the_built_in_file() -> None:
    """One file under two names, and the link works in any clone."""
    link = CONFIGS / "cpu-developer.yaml"
    assert link.is_symlink()
    assert link.readlink() == Path("../gateway/config/developer.yaml")
    assert link.resolve() == ROOT / "gateway" / "config" / FILE
    assert link.read_text("utf-8") == developer_text()


def test_without_keys_everything_stays_on_the_box() -> None:
    """The built-in configuration works on a machine with an empty environment."""
    config = developer_config({})
    assert list(config.backends) == ["local"]
    assert (config.tiers.light, config.tiers.mid, config.tiers.premium) == (("local",), (), ())
    assert config.aliases == {"*": "auto"}
    assert config.policy.default_regions == "any"
    assert set(config.backends["local"].params.defaults) == {
        "max_tokens",
        "temperature",
        "top_p",
        "min_p",
        "frequency_penalty",
    }
    assert (config.engines["small"].model, config.engines["small"].parallel) == ("smollm2-135m-instruct", 4)


def test_with_a_key_the_cloud_tiers_appear() -> None:
    """One variable adds mid and premium, at the address OPENAI_BASE_URL names."""
    config = developer_config({"OPENAI_API_KEY": "a-secret-of-the-test"})
    mini, large = config.backends["openai-mini"], config.backends["openai-large"]
    assert (config.tiers.mid, config.tiers.premium) == (("openai-mini",), ("openai-large",))
    assert mini.base_url == "https://api.openai.com/v1"
    assert (mini.model, large.model) == ("gpt-5-mini", "gpt-5")
    assert mini.price == Price(input=Decimal("0.25"), output=Decimal(2), cached=Decimal("0.025"))
    assert large.price == Price(input=Decimal("1.25"), output=Decimal(10), cached=Decimal("0.125"))
    assert mini.params.rename == {"max_tokens": "max_completion_tokens"}
    assert {"temperature", "top_p", "stop"} <= mini.params.drop
    assert mini.capabilities is not None
    assert Capability.LOGPROBS not in mini.capabilities
    elsewhere = developer_config({"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    assert elsewhere.backends["openai-mini"].base_url == "http://127.0.0.1:9/v1"


def test_with_a_key_of_anthropics_its_models_appear() -> None:
    """Alone or behind OpenAI's, with the fields dropped that they refuse, and every kind of token priced."""
    config = developer_config({"ANTHROPIC_API_KEY": "a-secret-of-the-test"})
    haiku, sonnet = config.backends["claude-haiku"], config.backends["claude-sonnet"]
    assert (config.tiers.mid, config.tiers.premium) == (("claude-haiku",), ("claude-sonnet",))
    for backend, model in ((haiku, "claude-haiku-5-5"), (sonnet, "claude-sonnet-5-5")):
        assert (backend.provider, backend.base_url, backend.model) == ("anthropic", "https://api.anthropic.com", model)
        assert backend.params.drop == {"temperature", "top_p", "top_k"}
        assert backend.price is not None
        assert None not in (backend.price.cached, backend.price.cache_write)
    assert haiku.context == 100_000, "beyond it the price is another one"
    both = developer_config({"ANTHROPIC_API_KEY": "x", "OPENAI_API_KEY": "y"})
    assert both.tiers.mid == ("openai-mini", "claude-haiku")
    assert both.tiers.premium == ("openai-large", "claude-sonnet")


def test_an_empty_key_is_no_key() -> None:
    """OPENAI_API_KEY= in a shell's start-up file adds no backend that would fail."""
    assert list(developer_config({"OPENAI_API_KEY": ""}).backends) == ["local"]


def test_an_unfit_address_from_the_environment_is_a_problem_of_the_file() -> None:
    """The built-in file is reported like any other, and shows the variable, not its value."""
    with pytest.raises(ConfigError) as raised:
        developer_config({"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://proxy.internal/v1"})
    assert "proxy.internal" not in str(raised.value)
    assert "developer.yaml:" in str(raised.value)
    assert "${OPENAI_BASE_URL:-" in str(raised.value)


def test_commented_keys_show_what_holds_without_them() -> None:
    """Each `# key: value` is the default, or an example; with the defaults in place the file means the same."""
    examples = {"threads", "attention", "capabilities", "default_class", "classes", "tasks", "trigger_words"}
    examples |= {"default_output", "max_output", "max_prompt"}
    text = developer_text()
    assert parse(spelt_out(text, all_keys() - examples), FILE, KEYS) == parse(text.encode(), FILE, KEYS)
    with_examples = parse(spelt_out(text, all_keys()), FILE, KEYS)
    assert with_examples.policy.default_class == "pro"
    assert (with_examples.policy.default_output, with_examples.policy.max_prompt) == (1024, 100_000)
    small = with_examples.engines["small"]
    assert (small.threads, small.attention) == (4, "plain")
    assert Capability.TOOLS in (small.capabilities or ())


def test_the_examples_are_plain_yaml() -> None:
    """Any YAML tool reads them, with the references in quotes or out of flow mappings."""
    for name in NAMES:
        assert yaml.safe_load((CONFIGS / name).read_text("utf-8"))["schema_version"] == 1
