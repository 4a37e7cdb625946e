"""What is looked at, one thing after the other."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from os import kill
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import msgspec

from scripts.acceptance.ground import Ground, NotInTimeError, alive, stopped
from scripts.acceptance.load import Ending, Request, asked, figures

HALF, ALL, TOO_MUCH = 0.5, 1.0, 2.5
_HOG = Path(__file__).parent / "hog.py"
_MEMORY_MARGIN = 500 << 20
_MEMORY_S = 20.0
_TROUBLES = (NotInTimeError, httpx.HTTPError, OSError, ValueError)
"""What asking a gateway, or looking for a process, may come to when something is wrong with them."""


class Outcome(StrEnum):
    """What came of a step."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(msgspec.Struct):
    """One thing that was looked at. `began` and `ended` are seconds since the gateway was started."""

    name: str
    promise: str
    outcome: Outcome
    detail: str = ""
    figures: dict[str, float] = {}
    began: float = 0.0
    ended: float = 0.0


Work = Callable[[], dict[str, float]]
"""What is done in a step, and measured. Raises WrongError, or NotInTimeError."""
Told = Callable[[Step], None]


class WrongError(Exception):
    """It is not as it should be; the message says how, `figures` what was measured nevertheless."""

    def __init__(self, how: str, figures: dict[str, float] | None = None) -> None:
        super().__init__(how)
        self.figures = figures or {}


class Course:
    """All steps, on one gateway; each is written down, whatever comes of it."""

    def __init__(self, ground: Ground) -> None:
        self.steps: list[Step] = []
        self.requests: list[Request] = []
        self._ground = ground
        self._capacity = 0.0

    def run(self, told: Told) -> None:
        """Every step; `told` hears of each when it is done. Without an engine that starts there are no others."""
        if not self._take("engine start", "vLLM starts and is given requests", self._start, told):
            return
        gpu = bool(self._ground.gpus()["gpus"])
        self._take("canaries", "it had answered 1 and 512 tokens before anybody was let in", self._canaries, told)
        self._take("chat with logprobs", "every token has its log-probability", self._chat, told)
        self._take("capacity", "all slots are in use and every request is answered", self._measure_capacity, told)
        for share in (HALF, ALL, TOO_MUCH):
            self._take(
                f"load {share}×", "every request is answered, here or elsewhere", partial(self._load, share), told
            )
        if gpu:
            self._take("GPU hog", "what another program slows down goes elsewhere", self._hog, told)
        else:
            self._skip("GPU hog", "what another program slows down goes elsewhere", "there is no GPU here", told)
        for name, victim in (("API server", self._ground.server), ("engine core", self._ground.core)):
            promise = "streams end with an error or go on elsewhere, nothing of it is left, and it comes back"
            self._take(f"kill -9 of the {name}", promise, partial(self._kill, victim), told)
        self._take("SIGSTOP of the engine core", "its silence is noticed, nobody hangs", self._stop, told)

    def break_off(self, told: Told) -> None:
        """Write down that there was to be more."""
        now = time.monotonic() - self._ground.began
        self.steps.append(Step("the rest", "it is looked at", Outcome.FAILED, "interrupted", {}, now, now))
        told(self.steps[-1])

    def _take(self, name: str, promise: str, work: Work, told: Told) -> bool:
        began = time.monotonic()
        found: dict[str, float] = {}
        try:
            found, outcome, detail = work(), Outcome.PASSED, ""
        except WrongError as error:
            found, outcome, detail = error.figures, Outcome.FAILED, str(error)
        except _TROUBLES as error:
            outcome, detail = Outcome.FAILED, str(error) or repr(error)
        zero = self._ground.began
        step = Step(name, promise, outcome, detail, found, began - zero, time.monotonic() - zero)
        self.steps.append(step)
        told(step)
        return outcome is Outcome.PASSED

    def _skip(self, name: str, promise: str, why: str, told: Told) -> None:
        now = time.monotonic() - self._ground.began
        self.steps.append(Step(name, promise, Outcome.SKIPPED, f"skipped, because {why}", {}, now, now))
        told(self.steps[-1])

    def _start(self) -> dict[str, float]:
        self._ground.until(self._ground.is_up, "vLLM is up", self._ground.settings.start_s)
        return {"start_s": round(time.monotonic() - self._ground.began, 1)}

    def _canaries(self) -> dict[str, float]:
        tokens = self._ground.counted("vllm:prompt_tokens_total")
        wanted = min(512, self._ground.settings.context - 1)
        if tokens < wanted:
            raise WrongError(f"it has seen {tokens:.0f} tokens of prompts")
        return {"prompt_tokens": tokens}

    def _chat(self) -> dict[str, float]:
        body = {"model": "local", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
        began = time.monotonic()
        answer = self._ground.post({**body, "logprobs": True, "top_logprobs": 3, "temperature": 0})
        took = time.monotonic() - began
        if answer.status_code != 200:
            raise WrongError(f"status {answer.status_code}: {answer.text[:300]}")
        said: dict[str, Any] = answer.json()
        scored = (said["choices"][0].get("logprobs") or {}).get("content") or []
        tokens = said["usage"]["completion_tokens"]
        if not scored or len(scored) != tokens or any(token["logprob"] > 0 for token in scored):
            raise WrongError(f"{len(scored)} log-probabilities of {tokens} tokens")
        return {"tokens": float(len(scored)), "took_ms": round(took * 1000, 1)}

    def _measure_capacity(self) -> dict[str, float]:
        settings = self._ground.settings
        found, requests = self._asked(lambda url, tokens: _closed(url, tokens, settings.parallel, settings.seconds))
        self._capacity = found["answered_per_s"]
        return _without(requests, found, Ending.CUT, Ending.HUNG, Ending.FAILED, Ending.BROKEN)

    def _load(self, share: float) -> dict[str, float]:
        rate, seconds = share * self._capacity, self._ground.settings.seconds
        if rate <= 0:
            raise WrongError("no capacity was measured")
        found, requests = self._asked(lambda url, tokens: _open(url, tokens, rate, seconds))
        return _without(requests, {"rate_per_s": round(rate, 2), **found}, *_NEVER, Ending.FAILED, Ending.BROKEN)

    def _hog(self) -> dict[str, float]:
        settings = self._ground.settings
        words = (str(settings.python), str(_HOG), str(settings.seconds))
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as hog:
            try:
                return self._load(HALF)
            finally:
                hog.kill()

    def _kill(self, victim: Callable[[], int]) -> dict[str, float]:
        """In the midst of streams in all slots."""
        ground, settings = self._ground, self._ground.settings
        processes, memory = ground.processes(), ground.memory()
        timings: dict[str, float] = {}

        def strike() -> None:
            kill(victim(), signal.SIGKILL)
            timings["noticed_s"] = ground.until(lambda: not ground.is_up(), "its end is noticed", settings.noticed_s)
            timings["cleared_s"] = ground.until(lambda: not alive(processes), "nothing of it is left", 60)

        requests = self._struck(strike)
        timings["back_s"] = ground.until(ground.is_up, "it is back", settings.start_s)
        if memory:
            ground.until(lambda: ground.memory() < memory + _MEMORY_MARGIN, "no memory is held twice", _MEMORY_S)
        rounded = {name: round(value, 1) for name, value in timings.items()}
        return _without(requests, {**figures(requests, settings.seconds), **rounded}, *_NEVER, Ending.FAILED)

    def _stop(self) -> dict[str, float]:
        ground, settings = self._ground, self._ground.settings
        timings: dict[str, float] = {}

        def strike() -> None:
            with stopped(ground.core()):
                timings["noticed_s"] = ground.until(
                    lambda: not ground.is_up(), "its silence is noticed", settings.noticed_s
                )

        requests = self._struck(strike)
        timings["back_s"] = ground.until(ground.is_up, "it is back", settings.start_s)
        rounded = {name: round(value, 1) for name, value in timings.items()}
        return _without(requests, {**figures(requests, settings.seconds), **rounded}, *_NEVER, Ending.FAILED)

    def _struck(self, strike: Callable[[], None]) -> list[Request]:
        """Streams in all slots, among which something happens. Raises what that raises, when they have ended."""
        failures: list[Exception] = []

        def later() -> None:
            Event().wait(self._ground.settings.seconds / 4)
            try:
                strike()
            except _TROUBLES as error:
                failures.append(error)

        thread = Thread(target=later, daemon=True)
        thread.start()
        settings = self._ground.settings
        found, requests = self._asked(lambda url, tokens: _closed(url, tokens, settings.parallel, settings.seconds))
        thread.join()
        if failures:
            raise WrongError(str(failures[0]) or repr(failures[0]), found)
        return requests

    def _asked(self, work: Callable[[str, int], list[Request]]) -> tuple[dict[str, float], list[Request]]:
        requests = work(self._ground.url, self._ground.settings.tokens)
        self.requests += requests
        ends = max((each.ended for each in requests), default=0.0)
        took = ends - min((each.sent for each in requests), default=0.0)
        return figures(requests, max(took, 0.001)), requests


_NEVER = (Ending.CUT, Ending.HUNG)


def _closed(url: str, tokens: int, clients: int, seconds: float) -> list[Request]:
    return asked(url, tokens, lambda caller: caller.closed(clients, seconds))


def _open(url: str, tokens: int, rate: float, seconds: float) -> list[Request]:
    return asked(url, tokens, lambda caller: caller.open(rate, seconds, seed=1))


def _without(requests: Sequence[Request], found: dict[str, float], *wrong: Ending) -> dict[str, float]:
    """The figures, where no request ended so. Raises WrongError."""
    bad = [each for each in requests if each.ending in wrong]
    if bad:
        counts = {ending: sum(each.ending is ending for each in bad) for ending in wrong}
        words = ", ".join(f"{count} {ending.value}" for ending, count in counts.items() if count)
        raise WrongError(f"{words} of {len(requests)}: {bad[0].detail[:200]}", found)
    return found
