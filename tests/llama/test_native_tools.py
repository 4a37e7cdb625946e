"""A model whose own chat template knows tools, as far as an engine can see: the default model with such a template."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_models.llama.log import LlamaLog
from local_models.llama.model import Model
from tests.llama import tool_templates
from tests.llama.engine_process import EngineProcess, running
from tests.retemplate import retemplated

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


@pytest.fixture(scope="module")
def native(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine with the template of another family."""
    folder = tmp_path_factory.mktemp("native")
    path = retemplated(model_path, folder / "native.gguf", template=tool_templates.QWEN)
    with running(path, folder, "--parallel", "2", "--context", "768") as process:
        yield process.ready()


def asked(*cities: str) -> list[dict[str, Any]]:
    """A conversation in which the assistant has called for each city but the last."""
    turns: list[dict[str, Any]] = []
    for place, city in enumerate(cities):
        function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
        call = {"id": f"c{place}", "type": "function", "function": function}
        turns += [
            {"role": "user", "content": f"Weather in {city}?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
    return turns[:-1]


def test_the_engine_says_that_it_calls_tools(native: EngineProcess) -> None:
    """Read off the template, once the model is loaded."""
    (model,) = native.http.get("/v1/models").json()["data"]
    assert {"tools", "forced_tools"} <= set(model["capabilities"])


def test_tools_and_calls_stand_in_the_prompt_as_the_template_has_them(native: EngineProcess, model: Model) -> None:
    """And not as the documented form has them."""
    tokens = native.post("/tokenize", messages=asked("Rome", "Paris"), tools=TOOLS).json()["tokens"]
    text = b"".join(model.vocabulary.labels[token] for token in tokens).decode()
    assert text.startswith("<|im_start|>system\n# Tools\n<tools>\n")
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call><|im_end|>' in text
    assert "You have tools" not in text


def test_a_free_call_is_read_in_the_familys_way(native: EngineProcess) -> None:
    """By imitation, which is all that these weights can; under its schema all the same."""
    answer = native.chat(messages=asked("Rome", "Oslo", "Bern", "Paris"), tools=TOOLS, max_tokens=60)
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}


def test_the_template_for_tools_is_found_in_the_file(model_path: Path, tmp_path: Path, llama_log: LlamaLog) -> None:
    """Some models have two."""
    path = retemplated(model_path, tmp_path / "two.gguf", for_tools=tool_templates.QWEN)
    found = Model(path, llama_log)
    try:
        assert found.tool_template is not None
        assert found.tool_template.startswith(tool_templates.QWEN)
        assert found.chat_template is not None
        assert "tools" not in found.chat_template
    finally:
        found.close()
