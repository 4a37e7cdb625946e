"""Asking an engine over HTTP how it is: the one contract that all engines speak."""

import time
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from local_models.logs import one_line
from local_models.snapshot import parse_metrics
from local_models.trust import refusal
from local_models.types import EngineMetrics, Runner

# Three failures in a row fence an engine: a hang is known in about 5 s, a busy CPU is not taken for one.
_QUICK_S: Final = 1.5
# One token on a cold CPU, or a GPU that compiles its kernels on the first request.
_CANARY_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe found; `why` is one line when it is not well."""

    ok: bool
    why: str = ""
    capabilities: tuple[str, ...] | None = None
    """What the model can do, in the words of whoever serves it; a canary asks for it. None where nothing is said."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The model that a server lists first. Our own engines also say what it can do."""

    id: str
    capabilities: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    """What an engine must answer to prove that it can do what it is for."""

    runner: Runner = "generate"
    model: str | None = None
    """The name that it must list; None takes the first that it lists."""
    prompt_tokens: int = 0
    """Size of a second prompt, given as token numbers, which not every server takes, and answered by two tokens with
    their log-probabilities; 0 is none."""


class _Trouble(Struct):
    status: str = ""
    error: str | None = None


class _Model(Struct):
    id: str
    capabilities: Any = None

    def read(self) -> "Listed":
        """What is said of it. Other servers mean other things by `capabilities`, and have another shape for them."""
        said = self.capabilities
        words = isinstance(said, list) and all(isinstance(word, str) for word in said)
        return Listed(self.id, tuple(said) if words else None)


class _Models(Struct):
    data: tuple[_Model, ...]


class _Usage(Struct):
    completion_tokens: int


class _Answer(Struct):
    usage: _Usage


class _Vector(Struct):
    embedding: tuple[float, ...]


class _Vectors(Struct):
    data: tuple[_Vector, ...]


class EngineProbe:
    """Probes of one base URL. `patience` is for what needs no model: seconds."""

    def __init__(self, url: str, http: httpx.AsyncClient, patience: float = _QUICK_S) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._patience = patience

    async def health(self) -> Verdict:
        """Well when /health says 200; a server without that path when it lists its models."""
        try:
            answer = await self._http.get(f"{self._url}/health", timeout=self._patience)
            if answer.status_code == httpx.codes.NOT_FOUND:
                answer = await self._http.get(f"{self._url}/v1/models", timeout=self._patience)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Verdict(ok=False, why=_explain(error))
        if answer.status_code == httpx.codes.OK:
            return Verdict(ok=True)
        return Verdict(ok=False, why=_trouble(answer))

    async def canary(self, canary: Canary | None = None) -> Verdict:
        """Well when a model is listed and answers: a chat with one token or, where it knows no chats, a text with one;
        or a text with a vector. Then the same of the longer prompt, if there is to be one.
        """
        canary = canary or Canary()
        try:
            models = await self._http.get(f"{self._url}/v1/models", timeout=self._patience)
            if models.status_code != httpx.codes.OK:
                return Verdict(ok=False, why=f"/v1/models: {_trouble(models)}")
            listed = msgspec.json.decode(models.content, type=_Models).data
            if not listed:
                return Verdict(ok=False, why="/v1/models lists no model")
            model = canary.model or listed[0].id
            if model not in {one.id for one in listed}:
                return Verdict(ok=False, why=f"/v1/models lists {listed[0].id}, not {model}")
            why = await self._short(canary.runner, model)
            if not why and canary.prompt_tokens:
                why = await self._long(canary.runner, model, canary.prompt_tokens)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Verdict(ok=False, why=_explain(error))
        except msgspec.DecodeError as error:
            return Verdict(ok=False, why=f"not an OpenAI answer: {one_line(str(error))}")
        return Verdict(ok=not why, why=why, capabilities=listed[0].read().capabilities)

    async def _short(self, runner: Runner, model: str) -> str:
        path, body = _question(runner, model)
        answer = await self._ask(path, body)
        if answer.status_code == httpx.codes.BAD_REQUEST and runner == "generate":
            # A base model has no chat template: it is well when it goes on with a text.
            plain = await self._ask("/v1/completions", _text(model, "Hello"))
            answer = plain if plain.status_code == httpx.codes.OK else answer
        return _judged(path, runner, answer)

    async def _long(self, runner: Runner, model: str, tokens: int) -> str:
        prompt = long_prompt(tokens)
        if runner == "pooling":
            path, body = "/v1/embeddings", msgspec.json.encode({"model": model, "input": prompt})
        else:
            # Sampled, scored and gone on with, as real ones are: a server may compile for each of these when first
            # asked, for longer than an engine may stand still.
            path, body = "/v1/completions", _text(model, prompt, max_tokens=2, temperature=1, logprobs=1)
        why = _judged(path, runner, await self._ask(path, body))
        return why and f"a prompt of {tokens} tokens: {why}"

    async def _ask(self, path: str, body: bytes) -> httpx.Response:
        return await self._http.post(
            self._url + path, content=body, headers={"content-type": "application/json"}, timeout=_CANARY_S
        )

    async def listed(self) -> Listed | None:
        """The first model the server lists; None when it cannot be had now."""
        try:
            answer = await self._http.get(f"{self._url}/v1/models", timeout=self._patience)
            listed = msgspec.json.decode(answer.content, type=_Models).data
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError):
            return None
        return listed[0].read() if listed else None

    async def metrics(self) -> EngineMetrics | None:
        """One scrape; None when it failed."""
        try:
            answer = await self._http.get(f"{self._url}/metrics", timeout=self._patience)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return parse_metrics(answer.text, time.time()) if answer.status_code == httpx.codes.OK else None


def _question(runner: Runner, model: str) -> tuple[str, bytes]:
    """What an engine is asked to prove that it can do what it is for: path and body."""
    if runner == "pooling":
        return "/v1/embeddings", msgspec.json.encode({"model": model, "input": "Hello"})
    message = {"role": "user", "content": "Hello"}
    body = {"model": model, "messages": [message], "max_tokens": 1, "temperature": 0}
    return "/v1/chat/completions", msgspec.json.encode(body)


def _text(model: str, prompt: str | list[int], **more: int) -> bytes:
    return msgspec.json.encode({"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, **more})


def long_prompt(tokens: int) -> list[int]:
    """Token numbers that every vocabulary of more than 2,000 has, no two neighbours the same."""
    return [1000 + 7 * index % 997 for index in range(tokens)]


def _judged(path: str, runner: Runner, answer: httpx.Response) -> str:
    """What is wrong with an answer; nothing when it is well. Raises msgspec.DecodeError."""
    if answer.status_code != httpx.codes.OK:
        return f"{path}: {_trouble(answer)}"
    return _missing(runner, answer.content)


def _missing(runner: Runner, answer: bytes) -> str:
    """What its answer lacks; nothing when it is well. Raises msgspec.DecodeError."""
    if runner == "pooling":
        vectors = msgspec.json.decode(answer, type=_Vectors).data
        return "" if any(any(vector.embedding) for vector in vectors) else "no vector came"
    return "" if msgspec.json.decode(answer, type=_Answer).usage.completion_tokens > 0 else "no token came"


def _trouble(answer: httpx.Response) -> str:
    try:
        said = msgspec.json.decode(answer.content, type=_Trouble)
    except msgspec.DecodeError:
        return f"HTTP {answer.status_code}"
    return one_line(": ".join(filter(None, (said.status, said.error)))) or f"HTTP {answer.status_code}"


def _explain(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return one_line(refusal(error) or "nobody listens")
    return one_line(f"{type(error).__name__} {error}")
