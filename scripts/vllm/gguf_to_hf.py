"""Turns a GGUF into the folder that vLLM loads; run by `scripts/vllm-cpu`, in the environment it has made.

usage: python gguf_to_hf.py MODEL.gguf FOLDER
The weights become bfloat16 again, so the folder is larger than the file.
"""

import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]


def main(source: Path, folder: Path) -> None:
    """Write weights, tokenizer and chat template."""
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name).bfloat16()
    # transformers refuses to save what it still believes to be quantised.
    model.is_quantized = False
    model.hf_quantizer = None
    for holder, name in ((model, "quantization_method"), (model.config, "quantization_config")):
        if hasattr(holder, name):
            delattr(holder, name)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
