"""A backend as requests reach it: its adapter, its connections, and where its engine is at the moment."""

import ssl
from collections.abc import Callable, Mapping
from functools import partial

from msgspec import Struct

from gateway.app import nouns
from gateway.awake import AwakeClock
from gateway.backends.anthropic import HEADERS, AnthropicBackend
from gateway.backends.chat import ChatClient
from gateway.backends.embeddings import EngineVectors, ProviderVectors
from gateway.backends.local import LocalBackend
from gateway.backends.openai import OpenAIBackend
from gateway.config.schema import Backend, Config
from gateway.ports import Backend as BackendPort
from gateway.ports import VectorBackend
from gateway.types import BackendSpec, EngineView
from gateway.wire.anthropic_upstream import AnthropicApi
from gateway.wire.openai_api import OpenAIApi

View = Callable[[str], EngineView | None]
"""What is known of an engine, by its name, at this moment."""


class Surroundings(Struct, frozen=True):
    """What all backends of a configuration share: where their engines are, and the clock that their deadlines go by."""

    config: Config
    view: View
    clock: AwakeClock | None = None


def connected(
    facts: Callable[[], BackendSpec],
    around: Surroundings,
    tls: ssl.SSLContext | None,
    standby: LocalBackend | None = None,
) -> tuple[BackendPort, ChatClient]:
    """The backend and the client whose connections it uses; close that one when done. Opens nothing yet.

    `facts` gives what is known of it: of an engine more may be learnt once it is up.
    """
    spec = facts()
    section = around.config.backends[spec.name]
    if spec.engine is not None:
        return connected_engine(facts, around, tls, standby)
    client, profile = _client(spec, around, tls), nouns.profile(section.params, None)
    kind = AnthropicBackend if section.provider == "anthropic" else OpenAIBackend
    return kind(spec, section.base_url or "", profile, client), client


def connected_engine(
    facts: Callable[[], BackendSpec],
    around: Surroundings,
    tls: ssl.SSLContext | None,
    standby: LocalBackend | None = None,
) -> tuple[LocalBackend, ChatClient]:
    """The same for what an engine serves: the backend's own, or its standby."""
    spec = facts()
    assert spec.engine is not None
    section = around.config.backends[spec.name]
    client, profile = _client(spec, around, tls), nouns.profile(section.params, around.config.engines[spec.engine])
    return LocalBackend(facts, partial(around.view, spec.engine), profile, client, standby), client


def connected_vectors(
    spec: BackendSpec, around: Surroundings, tls: ssl.SSLContext | None
) -> tuple[VectorBackend, ChatClient]:
    """The same for a backend that gives vectors."""
    section = around.config.backends[spec.name]
    client = _client(spec, around, tls)
    profile = nouns.profile(section.params, around.config.engines.get(section.engine or ""))
    if section.engine is not None:
        return EngineVectors(spec, partial(around.view, section.engine), profile, client), client
    return ProviderVectors(spec, section.base_url or "", profile, client), client


def _client(spec: BackendSpec, around: Surroundings, tls: ssl.SSLContext | None) -> ChatClient:
    section = around.config.backends[spec.name]
    return ChatClient(
        spec.name,
        nouns.deadlines(section.timeouts),
        _authorization(section),
        tls=tls,
        proxy=section.proxy,
        api=AnthropicApi() if section.provider == "anthropic" else OpenAIApi(),
        clock=around.clock,
    )


def nowhere(_engine: str) -> EngineView | None:
    """The view of somebody who has no engines."""
    return None


def _authorization(section: Backend) -> Mapping[str, str]:
    """The headers by which a provider knows who calls, and in which words."""
    key = None if section.api_key is None else section.api_key.get_secret_value()
    if section.provider == "anthropic":
        return HEADERS if key is None else {**HEADERS, "x-api-key": key}
    return {} if key is None else {"authorization": f"Bearer {key}"}
