"""Whether eight clients at once get, token for token, what llama-cpp-python's `Llama` says to one prompt at a time.

usage: scripts/bench exact [--count N] [--tokens N]

Greedy answers of the engine, with reuse of prefixes and without, beside `Llama(flash_attn=True)` with the same batch
size. That is 63 tokens: from 64 on llama.cpp has another kernel, and a prompt beside others is not cut as it is alone.
Ends with 1 unless all tokens are the same and all log-probabilities agree to 1e-3.
"""

import argparse
import asyncio
import contextlib
import ctypes
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import aiohttp
import llama_cpp
import numpy as np

from local_models.hardware import cpu_count
from local_models.llama_cpp import LlamaCpp
from scripts.benchmarks.engine_prompts import story, words
from scripts.benchmarks.engine_servers import Settings, forebay_command
from scripts.benchmarks.run_gateway import free_port, running
from scripts.tooling.console import terminal_console

CLIENTS, CONTEXT, BATCH, AGREE = 8, 512, 63, 1e-3
MODES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"with reuse of prefixes": (), "without": ("--no-prefix-reuse",)}
)


class Said(NamedTuple):
    """A token of an answer."""

    text: str
    logprob: float


Answer = list[Said]


class Comparison(NamedTuple):
    """Answers beside those of the reference; `apart` is the largest difference of a log-probability among equals."""

    same: int
    of: int
    apart: float
    cached: int

    @property
    def good(self) -> bool:
        """Nothing differs."""
        return self.same == self.of and self.apart <= AGREE


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench exact", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="prompts (default 50)")
    parser.add_argument("--tokens", type=int, default=12, help="tokens per answer (default 12)")
    arguments = parser.parse_args()
    model = pathlib.Path(os.environ["FOREBAY_TEST_MODEL"]).resolve()
    found = run(model, arguments.count, arguments.tokens, terminal_console(sys.stderr).step)
    for mode, each in found.items():
        print(
            f"{mode}: {each.same} of {each.of} answers are the same, log-probabilities differ by {each.apart:.2g} "
            f"at most; {each.cached:,} prompt tokens were reused"
        )
    sys.exit(0 if all(each.good for each in found.values()) else 1)


def run(
    model: pathlib.Path, count: int, tokens: int, step: Callable[[str], contextlib.AbstractContextManager[Any]]
) -> dict[str, Comparison]:
    """Ask the reference and engines of its own, one after the other."""
    prompts = [prompt(number) for number in range(count)]
    with step(f"Llama answers {count} prompts, one at a time"):
        expected = reference(model, prompts, tokens)
    found = {}
    for mode, flags in MODES.items():
        with step(f"The engine answers them to {CLIENTS} clients, {mode}"):
            answers, cached = engine(model, prompts, tokens, flags)
        found[mode] = compare(expected, answers, cached)
    return found


def prompt(number: int) -> str:
    """Some hundred tokens in the form of the model's template; all but the last twenty are those of every prompt."""
    rules = words(60, "exact")
    return (
        f"<|im_start|>system\nYou tell stories. Your house rules: {rules}<|im_end|>\n"
        f"<|im_start|>user\n{story(f'{number}')}<|im_end|>\n<|im_start|>assistant\n"
    )


def reference(path: pathlib.Path, prompts: Sequence[str], tokens: int) -> list[Answer]:
    """What `Llama` says: the prompt evaluated as it does that, then the likeliest token every time."""
    llama = llama_cpp.Llama(
        str(path), n_ctx=CONTEXT, n_batch=BATCH, n_threads=1, n_threads_batch=1, flash_attn=True, verbose=False
    )
    answers: list[Answer] = []
    for one in prompts:
        llama.reset()  # type: ignore[no-untyped-call]
        llama.eval(llama.tokenize(one.encode(), add_bos=False, special=True))
        answer: Answer = []
        while len(answer) < tokens:
            logits = ctypes.cast(llama_cpp.llama_get_logits_ith(llama.ctx, -1), ctypes.POINTER(ctypes.c_float))
            row = np.ctypeslib.as_array(logits, shape=(llama.n_vocab(),)).astype(np.float64)
            token = int(row.argmax())
            if token == llama.token_eos():
                break
            text = llama.detokenize([token], special=True).decode("utf-8", "replace")
            answer.append(Said(text, -float(np.log(np.exp(row - row.max()).sum()))))
            llama.eval([token])
        answers.append(answer)
    llama.close()
    return answers


def engine(path: pathlib.Path, prompts: Sequence[str], tokens: int, flags: Sequence[str]) -> tuple[list[Answer], int]:
    """What ours says, and how many tokens of the prompts it took from others."""
    port = free_port()
    command = forebay_command(Settings(path, cpu_count(), CLIENTS, CONTEXT), port)
    command += ["--prompt-batch", f"{BATCH}", *flags]
    environ = {**os.environ, **LlamaCpp().environment(os.environ)}
    base = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="fb") as name,
        running(command, f"{base}/health", pathlib.Path(name) / "log", environ),
    ):
        answers = asyncio.run(_ask_all(base, prompts, tokens))
    return [_said(answer) for answer in answers], sum(_cached(answer) for answer in answers)


def compare(expected: Sequence[Answer], answers: Sequence[Answer], cached: int) -> Comparison:
    """Answers of the same prompts, in the same order."""
    pairs = list(zip(expected, answers, strict=True))
    equal = [(one, other) for one, other in pairs if [each.text for each in one] == [each.text for each in other]]
    apart = [
        abs(mine.logprob - theirs.logprob) for one, other in equal for mine, theirs in zip(one, other, strict=True)
    ]
    return Comparison(len(equal), len(pairs), max(apart, default=0.0), cached)


async def _ask_all(base: str, prompts: Sequence[str], tokens: int) -> list[Any]:
    line = asyncio.Semaphore(CLIENTS)
    async with aiohttp.ClientSession(base, trust_env=False) as session:

        async def ask(one: str) -> Any:
            body = {"model": "bench", "prompt": one, "max_tokens": tokens, "temperature": 0, "logprobs": 1}
            async with line, session.post("/v1/completions", json=body, raise_for_status=True) as response:
                return await response.json()

        return await asyncio.gather(*map(ask, prompts))


def _said(answer: Any) -> Answer:
    logprobs = answer["choices"][0]["logprobs"]
    return [Said(*said) for said in zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)]


def _cached(answer: Any) -> int:
    found: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return found


if __name__ == "__main__":
    main()
