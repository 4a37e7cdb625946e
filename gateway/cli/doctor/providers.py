"""The providers, asked for their list of models: whether they are there, take the key, and what time they have."""

import time
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx
from msgspec import Struct

from gateway.app.trust import Trust, TrustUnusable
from gateway.cli.doctor.finding import Finding, broken, note, ok, warning
from gateway.config.schema import Backend, Config
from local_models.trust import refusal

_PATIENCE_S = 10.0
_UNFIT = "the key has a blank or a sign in it that cannot be sent"


class Reply(Struct, frozen=True, kw_only=True):
    """What one provider said to the key of these backends. `status` 0: nothing, and `fault` is why.

    `variable`: where the key comes from. `ahead_s`: how far our clock is ahead of its. `models`: what it lists, None
    where it does not.
    """

    backends: tuple[str, ...]
    wanted: tuple[str, ...]
    url: str
    variable: str | None
    status: int = 0
    fault: str = ""
    ahead_s: float | None = None
    models: tuple[str, ...] | None = None

    @property
    def who(self) -> str:
        """The backends, for people."""
        return " and ".join(self.backends)


def gather(config: Config, names: Iterable[str], variables: Mapping[str, str]) -> tuple[Reply, ...]:
    """Ask each provider of these backends once per key. Nothing is paid for that."""
    trust = Trust(config)
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in names:
        section = config.backends[name]
        if section.provider is not None:
            at = (section.provider, section.base_url, section.api_key, section.ca, section.proxy)
            groups.setdefault(at, []).append(name)
    return tuple(_ask(config, tuple(group), trust, variables.get(group[0])) for group in groups.values())


def findings(replies: tuple[Reply, ...]) -> Iterator[Finding]:
    """Who refuses, who is not there, and who does not know the model."""
    for reply in replies:
        yield _of(reply)
        for backend, model in zip(reply.backends, reply.wanted, strict=True):
            # A name without a date stands for its newest version, and is not always listed itself.
            if reply.models is not None and not any(each.startswith(model) for each in reply.models):
                yield note("provider", f"{reply.url} does not list {model}, the model of {backend}")


def clocks(replies: tuple[Reply, ...]) -> dict[str, float]:
    """By how many seconds our clock is ahead of theirs."""
    return {reply.who: reply.ahead_s for reply in replies if reply.ahead_s is not None}


def _of(reply: Reply) -> Finding:
    status, who = reply.status, reply.who
    said = f"{reply.url} said HTTP {status}"
    base_url = f"backends.{reply.backends[0]}.base_url"
    if reply.fault == _UNFIT:
        return _refused(reply, reply.fault)
    if status == 0:
        return broken(
            "provider",
            f"{who}: {reply.url} cannot be reached: {reply.fault}",
            f"correct {base_url}; where only a proxy leads out, name it in `proxy`, and a company's authority in `ca`",
        )
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _refused(reply, said)
    if status == HTTPStatus.OK:
        return ok("key", f"{who}: {reply.url} takes {_key(reply)}")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return broken("provider", f"{who}: {said}, elsewhere", f"put the address that it leads to into {base_url}")
    if status == HTTPStatus.NOT_FOUND:
        return warning(
            "provider",
            f"{who}: {said}: it lists no models there, and {_key(reply)} could not be tried",
            f"look at {base_url}: for openai it ends with the version (…/v1), for anthropic it does not",
        )
    return warning("provider", f"{who}: {said}; {_key(reply)} could not be tried", "try again in a minute")


def _refused(reply: Reply, said: str) -> Finding:
    if reply.variable is None:
        return broken(
            "key",
            f"{reply.who}: {said}, and no key is sent",
            f"write `api_key: ${{NAME}}` into backends.{reply.backends[0]}, and set that environment variable",
        )
    return broken(
        "key",
        f"{reply.who}: the key in {reply.variable} is refused: {said}",
        f"`export {reply.variable}=…` with a key that is valid there, and start `forebay serve` again with it",
    )


def _key(reply: Reply) -> str:
    return "calls without a key" if reply.variable is None else f"the key in {reply.variable}"


def _ask(config: Config, backends: tuple[str, ...], trust: Trust, variable: str | None) -> Reply:
    section = config.backends[backends[0]]
    reply = Reply(
        backends=backends,
        wanted=tuple(config.backends[name].model or "" for name in backends),
        url=section.base_url or "",
        variable=variable,
    )
    try:
        verify = trust.context(backends[0])
        with httpx.Client(
            verify=False if verify is None else verify, proxy=section.proxy, trust_env=False, timeout=_PATIENCE_S
        ) as http:
            began = time.time()
            answer = http.get(_listing(section), headers=_headers(section))
            middle = (began + time.time()) / 2
    except TrustUnusable as error:
        return _with(reply, fault=str(error))
    except (httpx.LocalProtocolError, UnicodeError):
        # What the library says of it has the key in it.
        return _with(reply, fault=_UNFIT)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return _with(reply, fault=refusal(error) or str(error) or type(error).__name__)
    return _with(reply, status=answer.status_code, ahead_s=_ahead(answer, middle), models=_listed(answer))


def _with(reply: Reply, **more: Any) -> Reply:
    known = {name: getattr(reply, name) for name in reply.__struct_fields__}
    return Reply(**{**known, **more})


def _listing(section: Backend) -> str:
    base = (section.base_url or "").rstrip("/")
    return f"{base}/v1/models?limit=1000" if section.provider == "anthropic" else f"{base}/models"


def _headers(section: Backend) -> dict[str, str]:
    key = None if section.api_key is None else section.api_key.get_secret_value()
    if section.provider == "anthropic":
        version = {"anthropic-version": "2023-06-01"}
        return version if key is None else {**version, "x-api-key": key}
    return {} if key is None else {"authorization": f"Bearer {key}"}


def _ahead(answer: httpx.Response, now: float) -> float | None:
    try:
        # The header is cut to whole seconds: half of one is its mean error.
        return now - parsedate_to_datetime(answer.headers["date"]).timestamp() - 0.5
    except (KeyError, ValueError, OverflowError):
        return None


def _listed(answer: httpx.Response) -> tuple[str, ...] | None:
    try:
        return tuple(str(model["id"]) for model in answer.json()["data"])
    except (ValueError, KeyError, TypeError):
        return None
