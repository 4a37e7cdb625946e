"""What a model may be run for: the file says what it is, and the configuration says what the file does not."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.llama.pooling import NUMBERS, Nature, agreed_pooling, check_generates
from local_models.types import Pooling
from tests.llama.bert import Bert
from tests.llama.engine_process import ROOT, command, environment, running
from tests.llama.test_embedding import EXAMPLE_TOKENS, UNEQUAL, vectors

PATH = Path("/m.gguf")
TEXT = Nature(PATH, pooling=None, reads_back=False, two_parts=False)
BERT = Nature(PATH, pooling=1, reads_back=True, two_parts=False)
SILENT_BERT = Nature(PATH, pooling=None, reads_back=True, two_parts=False)
TOKENWISE = Nature(PATH, pooling=0, reads_back=False, two_parts=False)
LAST = Nature(PATH, pooling=3, reads_back=False, two_parts=False)
RERANKER = Nature(PATH, pooling=4, reads_back=True, two_parts=False)
T5 = Nature(PATH, pooling=None, reads_back=False, two_parts=True)


def test_a_text_model_generates() -> None:
    """Nothing is said of pooling, and every token sees only those before it."""
    check_generates(TEXT)
    check_generates(TOKENWISE)
    with pytest.raises(StartError):
        check_generates(BERT)


@pytest.mark.parametrize(
    ("nature", "said"),
    [
        (BERT, "is an embedding model, which cannot generate: write runner: pooling"),
        (LAST, "is an embedding model, which cannot generate: write runner: pooling"),
        (SILENT_BERT, "is an encoder model, which cannot generate: give a text model, or with runner: pooling"),
        (T5, "has an encoder and a decoder"),
    ],
)
def test_what_cannot_generate_says_what_to_write(nature: Nature, said: str) -> None:
    """An exit that no restart mends, with the line of the configuration."""
    with pytest.raises(StartError, match=said) as refused:
        check_generates(nature)
    assert refused.value.exit_code == EXIT_REFUSED


@pytest.mark.parametrize(
    ("nature", "asked", "number"),
    [
        (BERT, None, 1),
        (BERT, "mean", 1),
        (LAST, None, 3),
        (LAST, "last", 3),
        (TEXT, "mean", 1),
        (TEXT, "last", 3),
        (TEXT, "cls", 2),
        (SILENT_BERT, "cls", 2),
        (TOKENWISE, "mean", 1),
    ],
)
def test_how_vectors_are_pooled(nature: Nature, asked: Pooling | None, number: int) -> None:
    """By the file, or by the configuration where the file says nothing."""
    assert agreed_pooling(nature, asked) == number


@pytest.mark.parametrize(
    ("nature", "asked", "said"),
    [
        (TEXT, None, "is made to generate text.*with runner: pooling also write pooling: mean"),
        (TOKENWISE, None, "is made to generate text.*also write pooling: mean"),
        (SILENT_BERT, None, "does not say how to pool.*also write pooling: mean"),
        (BERT, "cls", "is made for pooling: mean, not cls: leave pooling out"),
        (LAST, "mean", "is made for pooling: last, not mean"),
        (RERANKER, None, "is no embedding model"),
        (RERANKER, "mean", "is no embedding model"),
        (T5, "mean", "has an encoder and a decoder"),
    ],
)
def test_what_cannot_be_pooled_says_what_to_write(nature: Nature, asked: Pooling | None, said: str) -> None:
    """Vectors that look like any others and find nothing are given to nobody."""
    with pytest.raises(StartError, match=said) as refused:
        agreed_pooling(nature, asked)
    assert refused.value.exit_code == EXIT_REFUSED


def refusal(model: Path, *arguments: str) -> str:
    """The last line of an engine that llama.cpp could run, and the configuration cannot."""
    words = command(model, "--port", "0", "--stand-alone", "--context", "512", *arguments)
    ended = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=False)
    assert ended.returncode == EXIT_REFUSED, ended.stderr
    return ended.stderr.decode().splitlines()[-1]


def test_a_real_generation_model_gives_no_vectors_unasked(model_path: Path) -> None:
    """The process ends, and its last line is what the supervisor shows."""
    said = refusal(model_path, "--runner", "pooling")
    assert said == (
        f"forebay engine: {model_path} is made to generate text, and its vectors may be of little use: "
        "with runner: pooling also write pooling: mean (or last, cls)"
    )


def test_a_real_embedding_model_does_not_generate(embedding_model_path: Path) -> None:
    """Without the runner it is not served at all."""
    said = refusal(embedding_model_path)
    assert said.endswith("is an embedding model, which cannot generate: write runner: pooling")


def test_more_context_than_it_has_is_refused(embedding_model_path: Path) -> None:
    """A BERT has no place for token 513, and llama.cpp would end the process over it."""
    said = refusal(embedding_model_path, "--runner", "pooling", "--context", "4096")
    assert said.endswith("use --context 512 or less")


def test_pooling_without_its_runner_is_a_mistake(model_path: Path) -> None:
    """It would be obeyed by nobody."""
    words = command(model_path, "--port", "0", "--stand-alone", "--pooling", "mean")
    ended = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert b"--pooling is for --runner pooling" in ended.stderr


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_generation_model_pooled_when_told_so(model_path: Path, tmp_path: Path, pooling: str) -> None:
    """Texts of unequal length in one batch, where split KV streams would be silently wrong."""
    options = ("--runner", "pooling", "--pooling", pooling, "--context", "512", "--parallel", "2")
    with running(model_path, tmp_path, *options) as process:
        process.ready()
        together = vectors(process, list(UNEQUAL))
        alone = np.stack([vectors(process, text)[0] for text in UNEQUAL])
    cosines = (together * alone).sum(axis=1)
    # What one token of a 4-bit model ends in is rounded more coarsely than a mean of many.
    assert (cosines >= (0.9999 if pooling == "mean" else 0.9995)).all(), cosines
    assert together.shape == (len(UNEQUAL), 576)


def spoken(path: Path, target: Path, key: bytes, old: bytes, new: bytes) -> Path:
    """A copy of a GGUF whose metadata says something else."""
    data = path.read_bytes()
    assert data.count(key + old) == 1
    target.write_bytes(data.replace(key + old, new))
    return target


def test_the_files_own_pooling_is_obeyed(embedding_model_path: Path, tmp_path: Path) -> None:
    """The same weights under another word give the first token's vector."""
    key, mean = b"bert.pooling_type", b"\x04\0\0\0\x01\0\0\0"
    cls = NUMBERS["cls"].to_bytes(4, "little")
    path = spoken(embedding_model_path, tmp_path / "cls.gguf", key, mean, key + b"\x04\0\0\0" + cls)
    with running(path, tmp_path, "--runner", "pooling", "--context", "512") as process:
        (found,) = vectors(process.ready(), EXAMPLE_TOKENS)
    bert = Bert(embedding_model_path)
    assert found @ bert.first(EXAMPLE_TOKENS) > 0.99999
    assert found @ bert.mean(EXAMPLE_TOKENS) < 0.99


def test_an_encoder_that_says_nothing_has_to_be_told(embedding_model_path: Path, tmp_path: Path) -> None:
    """Then it gives what it was told to."""
    key = b"bert.pooling_type"
    path = spoken(embedding_model_path, tmp_path / "silent.gguf", key, b"", b"bert.pooling_typo")
    assert "does not say how to pool" in refusal(path, "--runner", "pooling")
    with running(path, tmp_path, "--runner", "pooling", "--pooling", "mean", "--context", "512") as process:
        (found,) = vectors(process.ready(), EXAMPLE_TOKENS)
    assert found @ Bert(embedding_model_path).mean(EXAMPLE_TOKENS) > 0.99999
