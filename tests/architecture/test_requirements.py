"""The pinned files agree with pyproject.toml and can be installed from any index."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.tooling.lock import APART, DEV, LLAMA, RUNTIME, PinnedFile, pinned_blocks, wanted
from tests.architecture.source import CODE, ROOT, SourceFile, SourceTree

TOGETHER = (RUNTIME, LLAMA, DEV)
FILES = (*TOGETHER, *APART)
ADDRESS = re.compile(r"\S*://\S*|--(?:extra-)?index-url|--find-links|--trusted-host|^-[if]\s", re.MULTILINE)
INDEX_ADDRESS = re.compile(r"https?://[^\s\"'<>/]+(?::\d+)?/(?:[^\s\"'<>]*/)?(?:simple|pypi)\b")
IMPORT_NAMES = (
    ("llama_cpp", "llama-cpp-python"),
    ("pydantic_core", "pydantic"),
    ("prometheus_client", "prometheus-client"),
    ("pynvml", "nvidia-ml-py"),
    ("yaml", "pyyaml"),
    ("starlette", "fastapi"),  # FastAPI is a layer over it and re-exports most of it
)


@pytest.fixture(scope="module")
def pyproject() -> Mapping[str, Any]:
    """What the project asks for."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text_of(file: PinnedFile) -> str:
    """A requirement file as it is committed."""
    return (ROOT / f"{file.group}.txt").read_text(encoding="utf-8")


def pins(*files: PinnedFile) -> dict[str, str]:
    """Distribution → version over some of the files."""
    heads = (block.split()[0] for file in files for block in pinned_blocks(text_of(file)).values())
    return {str(canonicalize_name(name)): version for name, _, version in (head.partition("==") for head in heads)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.group)
def test_every_line_is_a_pin_with_hashes(file: PinnedFile) -> None:
    """Each distribution has one version and at least one sha256; nothing else stands in the file."""
    text = text_of(file)
    blocks = pinned_blocks(text)
    assert blocks
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks.values())
    rest = text
    for block in blocks.values():
        rest = rest.replace(block, "", 1)
    assert all(line.startswith("#") for line in rest.splitlines()), rest


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.group)
def test_no_file_names_an_index(file: PinnedFile) -> None:
    """Which index to use is the affair of the machine that installs."""
    assert not ADDRESS.findall(text_of(file))


@pytest.mark.parametrize("line", ["--index-url x", "-i x", "a @ https://host/a.whl", "# from http://host"])
def test_an_address_would_be_found(line: str) -> None:
    """The search for addresses can fail."""
    assert ADDRESS.search(line)


def test_no_committed_text_names_an_index() -> None:
    """No package index is written into any file that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    named = [
        f"{name}: {found[0]}"
        for name in filter(None, listed.stdout.split("\0"))
        if (ROOT / name).is_file()
        and (found := INDEX_ADDRESS.search((ROOT / name).read_text(encoding="utf-8", errors="replace")))
    ]
    assert not named
    assert INDEX_ADDRESS.search("see https://index.example" + "/simple for it")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.group)
def test_pins_satisfy_what_the_project_asks_for(file: PinnedFile, pyproject: Mapping[str, Any]) -> None:
    """A requirement that was changed without a new lock is noticed here, not by the next person to install."""
    versions = pins(file) if file in APART else pins(*TOGETHER)
    unmet = [
        line
        for line in (wanted(pyproject, file) if file is not LLAMA else ())
        if not Requirement(line).specifier.contains(versions.get(canonicalize_name(Requirement(line).name), "0"))
    ]
    assert not unmet


def test_no_distribution_is_pinned_twice() -> None:
    """The files that are installed into one environment never ask for two versions of one thing."""
    counts = [len(pins(file)) for file in TOGETHER]
    assert sum(counts) == len(pins(*TOGETHER))


def test_heavy_things_stay_out() -> None:
    """torch and vLLM have an environment of their own; nothing here pulls them in."""
    assert not {"torch", "vllm", "transformers"} & set(pins(*FILES))


def test_the_code_imports_only_what_is_declared(pyproject: Mapping[str, Any], tree: SourceTree) -> None:
    """An undeclared import works here by luck of another's dependency and fails at the customer's.

    The engine alone may use the extra `cpu`: everything else starts without it. Scripts run beside the tests, but for
    those that run in an environment of their own: the ones that draw, the one that makes vLLM's model, and the
    one that keeps a GPU busy.
    """
    core = distributions(pyproject["project"]["dependencies"])
    engine = core | distributions(pyproject["project"]["optional-dependencies"]["cpu"])
    everything = engine | distributions(pyproject["dependency-groups"]["dev"])
    drawing = distributions(pyproject["dependency-groups"]["bench-plot"])
    allowed = (
        ("scripts/benchmarks/overhead_draw.py", drawing),
        ("scripts/benchmarks/engine_draw.py", drawing),
        ("scripts/benchmarks/gate_draw.py", drawing),
        ("scripts/acceptance/draw.py", drawing),
        ("scripts/acceptance/hog.py", frozenset({"torch"})),
        ("scripts/vllm/gguf_to_hf.py", frozenset({"transformers"})),
        ("scripts/", everything),
        ("local_models/llama/", engine),
        ("", core),
    )
    undeclared = [
        f"{file.path}: {root}"
        for file in tree.files
        if file.room in CODE
        for root in sorted(third_party(file))
        if canonicalize_name(dict(IMPORT_NAMES).get(root, root))
        not in next(names for place, names in allowed if file.path.startswith(place))
    ]
    assert not undeclared


def distributions(requirements: Iterable[str]) -> frozenset[str]:
    """The names of what is required."""
    return frozenset(canonicalize_name(Requirement(line).name) for line in requirements)


def third_party(file: SourceFile) -> set[str]:
    """Top-level modules that a file imports from neither the standard library nor this project."""
    return {
        root for root in _imported(file.nodes) if root not in sys.stdlib_module_names and root not in (*CODE, "tests")
    }


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
