"""Every part of a running gateway, put together once and taken apart in the right order."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry

from gateway.app import nouns
from gateway.app.backends import Surroundings, connected, connected_engine, connected_vectors, nowhere
from gateway.app.calibrations import calibrations
from gateway.app.decision import classifier, policy
from gateway.app.engines import Engines, engine_specs
from gateway.app.gpus import gpu_snapshot
from gateway.app.learnt import Memory
from gateway.app.trust import Trust
from gateway.attempt import Attempts
from gateway.awake import AwakeClock
from gateway.backends.breaker import Breaker
from gateway.backends.chat import ChatClient
from gateway.backends.local import LocalBackend
from gateway.broker import Broker, Stages
from gateway.confidence import Confidence
from gateway.config.schema import Config
from gateway.deadline import Alarms
from gateway.embedder import Embedder
from gateway.errors import ForebayError
from gateway.gate import Gate
from gateway.ledger import SqliteLedger
from gateway.policy import Identities
from gateway.ports import Backend as BackendPort
from gateway.ports import Recorder
from gateway.routing import RoutingTable
from gateway.server.admin import build_admin
from gateway.server.anthropic import AnthropicCount, AnthropicMessages, CountEndpoint
from gateway.server.api import Edge, Pages
from gateway.server.drain import Drain
from gateway.server.embeddings import EmbeddingEndpoint
from gateway.server.endpoint import AnswerEndpoint, Door
from gateway.server.http import Asgi
from gateway.server.openai import OpenAIChat, OpenAIText
from gateway.server.openapi import CHAT_PATH, COUNT_PATH, EMBEDDINGS_PATH, MESSAGES_PATH, TEXT_PATH
from gateway.server.readiness import ReadinessProbe
from gateway.telemetry import Fanout, Metrics, RequestLog
from gateway.telemetry.backlog import LedgerCollector, LogCollector
from gateway.telemetry.gates import GateTermsCollector
from gateway.telemetry.gpus import GpuCollector
from gateway.telemetry.metrics import GateCollector
from gateway.throttle import EscalationThrottle
from gateway.types import Answerer, BackendSpec, EngineView
from local_models.gpuwatch import GpuWatch


class HomeUnusable(ForebayError):
    """The folder for models, ledger and logs cannot be had."""


class Gateway:
    """A gateway that is ready to be served. Make one with `open`, as an async context."""

    def __init__(self, config: Config, home: Path) -> None:
        self.config = config
        self.home = home
        self.version = version("forebay")
        self.drain = Drain()
        self.table: RoutingTable = nouns.routing_table(config)
        self.identities: Identities = nouns.identities(config)
        slots = {name: engine.parallel for name, engine in config.engines.items()}
        self.gate = Gate(slots, nouns.gate_settings(config), nouns.standbys(config))
        self._clock = AwakeClock(self.gate.excuse)
        self._trust = Trust(config)
        self._stack = AsyncExitStack()
        self.engines: Engines | None = None
        self._breakers: Mapping[Answerer, Breaker] = {}
        self._clients: list[ChatClient] = []
        self.ledger: SqliteLedger
        self.broker: Broker
        self.embedder: Embedder
        self.api: Asgi
        self.admin: Asgi

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._build(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _build(self, stack: AsyncExitStack) -> None:
        """Parts are closed in the reverse of this order: callers first, the ledger last."""
        _prepare(self.home)
        self._clock.begin()
        stack.callback(self._clock.end)
        specs = engine_specs(self.config, self.home)
        self.ledger = SqliteLedger(self.home / "ledger.sqlite")
        stack.callback(self.ledger.close)
        registry = CollectorRegistry()
        metrics = Metrics(registry, nouns.task_rules(self.config))
        registry.register(GateCollector(self.gate.states))
        registry.register(GateTermsCollector(self.gate.reports))
        registry.register(GpuCollector(lambda: self.gate.gpus))
        registry.register(LedgerCollector(lambda: self.ledger.pending, lambda: self.ledger.failing))
        recorders: list[Recorder] = [self.ledger, metrics]
        sink = _log_sink(self.config)
        if sink is not None:
            request_log = RequestLog(sink)
            stack.callback(request_log.close)
            registry.register(LogCollector(lambda: request_log.dropped))
            recorders.append(request_log)
        await self._remember(stack)
        watch = GpuWatch.start(lambda survey: self.gate.see_gpus(gpu_snapshot(survey)))
        stack.push_async_callback(watch.close)
        if specs:
            keep = self.config.server.keep_engines
            self.engines = await Engines.start(
                specs, self.home, self.gate, self._engine_came_up, self._engine_hung, keep=keep
            )
            stack.push_async_callback(self.engines.close, stop=not keep)
        recorder = Fanout(*recorders)
        attempts = Attempts(self._backends(stack), self.gate, self.config.policy.escalation.max_attempts)
        self.broker = Broker(self._stages(attempts, recorder), nouns.broker_settings(self.config))
        self.embedder = self._embedder(recorder, stack)
        self._breakers = {**attempts.breakers, **self.embedder.breakers}
        self._build_servers(registry)

    async def _remember(self, stack: AsyncExitStack) -> None:
        """What the gate learns is kept: now and then, and when everything else has ended."""
        memory = Memory(self.config, self.home, self.gate)
        await asyncio.to_thread(memory.recall)
        stack.callback(memory.write)
        task = asyncio.create_task(memory.keep())
        stack.push_async_callback(_ended, task)

    def _stages(self, attempts: Attempts, recorder: Recorder) -> Stages:
        escalation = self.config.policy.escalation
        return Stages(
            policy=policy(self.config),
            classifier=classifier(self.config),
            table=self.table,
            attempts=attempts,
            confidence=Confidence(calibrations(self.config, self.home), self.config.confidence.trigger_words),
            throttle=EscalationThrottle(escalation.throttle_rate, escalation.throttle_after),
            recorder=recorder,
        )

    def _engine_came_up(self, engine: EngineView) -> None:
        if engine.capabilities is not None:
            self.table.learn(engine.name, engine.capabilities)
        for (_, name), breaker in self._breakers.items():
            if name == engine.name:
                breaker.forget()

    def _engine_hung(self, url: str) -> None:
        for client in self._clients:
            client.hang_up(url)

    def _build_servers(self, registry: CollectorRegistry) -> None:
        server = self.config.server
        readiness = ReadinessProbe(self.table, self.gate.states, self._breakers, asyncio.get_running_loop().time)
        door = Door(self.identities, self.drain, server.max_body_bytes, server.body_timeout_s, Alarms(self._clock))
        endpoints: dict[str, Asgi] = {
            CHAT_PATH: AnswerEndpoint(OpenAIChat(), self.broker, door),
            MESSAGES_PATH: AnswerEndpoint(AnthropicMessages(), self.broker, door),
            COUNT_PATH: CountEndpoint(AnthropicCount(), self.broker, door),
            TEXT_PATH: AnswerEndpoint(OpenAIText(), self.broker, door),
            EMBEDDINGS_PATH: EmbeddingEndpoint(self.embedder, door),
        }
        pages = Pages(self.version, self.table, self.identities, readiness, self.drain)
        self.api = Edge(endpoints, pages.app)
        self.admin = build_admin(self.version, registry, self.gate, readiness)

    def _backends(self, stack: AsyncExitStack) -> dict[str, BackendPort]:
        """Those that write text."""
        found = {}
        for name, spec in self.table.specs.items():
            if spec.vectors is None:
                facts = partial(self.table.specs.__getitem__, name)
                standby, tls = self._standby(spec, stack), self._trust.context(name)
                found[name], client = connected(facts, self._around, tls, standby)
                self._own(client, stack)
        return found

    def _standby(self, spec: BackendSpec, stack: AsyncExitStack) -> LocalBackend | None:
        """Who answers under a backend's name while its engine is not up."""
        if spec.standby is None or spec.standby.engine is None:
            return None
        facts, tls = partial(self.table.standby, spec.name), self._trust.engine_context(spec.standby.engine)
        backend, client = connected_engine(facts, self._around, tls)
        self._own(client, stack)
        return backend

    def _embedder(self, recorder: Recorder, stack: AsyncExitStack) -> Embedder:
        found = {}
        for name, spec in self.table.specs.items():
            if spec.vectors is not None:
                tls = self._trust.context(name)
                found[name], client = connected_vectors(spec, self._around, tls)
                self._own(client, stack)
        settings = nouns.embedder_settings(self.config)
        return Embedder(policy(self.config), self.table, found, self.gate, recorder.record, settings)

    def _own(self, client: ChatClient, stack: AsyncExitStack) -> None:
        self._clients.append(client)
        stack.push_async_callback(client.close)

    @property
    def _around(self) -> Surroundings:
        view = nowhere if self.engines is None else self.engines.view
        return Surroundings(self.config, view, self._clock)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _prepare(home: Path) -> None:
    """Have the folder, for this user only where it is a new one. Raises HomeUnusable."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeUnusable(
            f"cannot make the folder {home} ({error.strerror}): set FOREBAY_HOME to one that can be made"
        ) from error


def _log_sink(config: Config) -> int | None:
    stream = {"stdout": sys.stdout, "stderr": sys.stderr, "off": None}[config.log.requests]
    return None if stream is None else stream.fileno()
