"""Who answers what: easy and hard prompts through a whole gateway, with the default model as its light tier.

usage: scripts/bench routing [--prompts FILE] [--temperature T ...] [--concurrency N] [--wrong] [--json]

The prompts are labelled `easy` (the light tier will do) or `hard` (it will not), and none of them was used for
tuning. The light tier is the real model on this CPU, set up as the developer configuration does; mid and premium are
a stand-in that always answers, so whatever reaches them was routed up, either by the decision before the call or by
escalation after the light answer.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import sys
import tempfile
from collections import Counter
from typing import Any

import httpx
import msgspec
import yaml
from rich.console import Console
from rich.progress import Progress

from gateway.app.decision import classifier
from gateway.config.developer import developer_config
from gateway.tokens import estimate_prompt
from gateway.wire.openai_request import parse_chat
from scripts.benchmarks.run_gateway import free_port, gateway, upstream

ROOT = pathlib.Path(__file__).parents[2]
PROMPTS = ROOT / "tests" / "routing" / "prompts.jsonl"
_TIMEOUT_S = 180.0


class Prompt(msgspec.Struct, frozen=True):
    """A labelled prompt."""

    id: str
    domain: str
    difficulty: str
    messages: list[dict[str, str]]


class Answered(msgspec.Struct, frozen=True):
    """What became of it. `path` is every tier that was asked, in order, `reason` why the last one was."""

    prompt: Prompt
    temperature: float
    tier: str
    path: tuple[str, ...]
    reason: str
    confidence: float | None
    score: float

    @property
    def up(self) -> bool:
        """Whether a stronger tier answered."""
        return self.tier != "light"

    @property
    def escalated(self) -> bool:
        """Whether the light tier had answered before."""
        return self.up and self.path[0] == "light"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench routing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=pathlib.Path, default=PROMPTS, help="JSON lines (default: the held-out ones)")
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.0, 1.0], help="default: 0 and 1")
    parser.add_argument("--concurrency", type=int, default=4, help="requests at a time (default 4)")
    parser.add_argument("--wrong", action="store_true", help="list the prompts that went where they should not")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of tables")
    arguments = parser.parse_args()
    prompts = [msgspec.json.decode(line, type=Prompt) for line in arguments.prompts.read_bytes().splitlines()]
    found = run(prompts, arguments.temperature, arguments.concurrency)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    for temperature in arguments.temperature:
        _print([each for each in found if each.temperature == temperature], temperature)
        if arguments.wrong:
            _print_wrong([each for each in found if each.temperature == temperature])


def run(prompts: list[Prompt], temperatures: list[float], concurrency: int) -> list[Answered]:
    """Ask everything through one gateway."""
    with tempfile.TemporaryDirectory(prefix="fb") as folder, contextlib.ExitStack() as stack:
        api, admin, behind = (free_port() for _ in range(3))
        stack.enter_context(upstream(behind, 20))
        home = pathlib.Path(folder)
        # The cache that the tests' model lies in is laid out as a home, and the catalog's name brings its floors.
        (home / "models").symlink_to(pathlib.Path(os.environ["FOREBAY_TEST_MODEL"]).parent)
        (home / "forebay.yaml").write_text(yaml.safe_dump(_config(api, admin, behind, concurrency)), encoding="utf-8")
        stack.enter_context(gateway(home, api))
        return asyncio.run(_ask_all(f"http://127.0.0.1:{api}/v1/chat/completions", prompts, temperatures, concurrency))


def _config(api: int, admin: int, behind: int, concurrency: int) -> dict[str, Any]:
    """The developer configuration, with the file of the model, and somebody in the upper tiers."""
    config = developer_config({}).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    config["server"] = {"listen": f"127.0.0.1:{api}", "admin_listen": f"127.0.0.1:{admin}"}
    config["engines"]["small"]["parallel"] = concurrency
    stand_in = {"provider": "openai", "base_url": f"http://127.0.0.1:{behind}/v1", "region": "elsewhere"}
    config["backends"] |= {
        "mini": {**stand_in, "model": "mid", "price": {"input": 0.25, "output": 2}},
        "big": {**stand_in, "model": "premium", "price": {"input": 1.25, "output": 10}},
    }
    config["tiers"] |= {"mid": ["mini"], "premium": ["big"]}
    # Every prompt counts by itself: the brake would let the later ones through.
    config["policy"]["escalation"] = {"throttle_rate": 1.0}
    config["gate"] = {"max_wait_ms": 60_000, "max_wait_alone_ms": 60_000}
    return config


async def _ask_all(url: str, prompts: list[Prompt], temperatures: list[float], concurrency: int) -> list[Answered]:
    room, scores = asyncio.Semaphore(concurrency), _scores(prompts)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("prompts", total=len(prompts) * len(temperatures))

        async def ask(client: httpx.AsyncClient, prompt: Prompt, temperature: float) -> Answered:
            async with room:
                answered = await _ask(client, url, prompt, temperature, scores[prompt.id])
            bar.advance(task)
            return answered

        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            asked = [ask(client, prompt, temperature) for temperature in temperatures for prompt in prompts]
            return list(await asyncio.gather(*asked))


async def _ask(client: httpx.AsyncClient, url: str, prompt: Prompt, temperature: float, score: float) -> Answered:
    body = {"model": "auto", "messages": prompt.messages, "temperature": temperature}
    response = await client.post(url, json=body)
    if not response.is_success:
        raise SystemExit(f"{prompt.id}: status {response.status_code}: {response.text}")
    forebay = response.json()["forebay"]
    return Answered(
        prompt=prompt,
        temperature=temperature,
        tier=forebay["tier"],
        reason=forebay["reason"],
        path=tuple(tried["tier"] for tried in forebay["tried"]),
        confidence=forebay["tried"][0]["confidence"] if forebay["tried"][0]["tier"] == "light" else None,
        score=score,
    )


def _scores(prompts: list[Prompt]) -> dict[str, float]:
    """How hard the classifier takes each to be."""
    judge = classifier(developer_config({}))
    found = {}
    for prompt in prompts:
        body = msgspec.json.encode({"model": "auto", "messages": prompt.messages})
        request = parse_chat(body, {}, request_id=prompt.id)
        found[prompt.id] = judge.classify(request, estimate_prompt(request)).score
    return found


def _print(found: list[Answered], temperature: float) -> None:
    print(f"\ntemperature {temperature:g}")
    print(f"{'label':8} {'prompts':>8} {'answered light':>15} {'routed up':>10} {'of them escalated':>18} {'right':>7}")
    for label in ("easy", "hard"):
        _print_row(label, [each for each in found if each.prompt.difficulty == label], wanted_up=label == "hard")
    for domain in sorted({each.prompt.domain for each in found}):
        here = [each for each in found if each.prompt.domain == domain]
        wrong = Counter(each.prompt.difficulty for each in here if _wrong(each))
        print(f"  {domain:12} {len(here):>3} prompts, wrong: {wrong['easy']} easy, {wrong['hard']} hard")


def _print_row(label: str, found: list[Answered], *, wanted_up: bool) -> None:
    up = sum(each.up for each in found)
    escalated = sum(each.escalated for each in found)
    right = up if wanted_up else len(found) - up
    share = right / max(1, len(found))
    print(f"{label:8} {len(found):>8} {len(found) - up:>15} {up:>10} {escalated:>18} {share:>7.1%}")


def _wrong(each: Answered) -> bool:
    return each.up != (each.prompt.difficulty == "hard")


def _print_wrong(found: list[Answered]) -> None:
    for each in sorted(filter(_wrong, found), key=lambda each: each.prompt.id):
        text = each.prompt.messages[-1]["content"].replace("\n", " ")[:90]
        seen = f"score {each.score:.2f}" + ("" if each.confidence is None else f", confidence {each.confidence:.2f}")
        print(f"  {each.prompt.id:16} {' → '.join(each.path):12} {each.reason:18} {seen:32} {text}", file=sys.stdout)


if __name__ == "__main__":
    main()
