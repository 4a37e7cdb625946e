"""The owner thread: the only one that calls into the model's context. Loads the model, then runs the `loop`."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from local_models.llama.aside import Aside, Threads, spare
from local_models.llama.context import Attention, Context
from local_models.llama.embed_context import EmbedContext
from local_models.llama.embed_loop import EmbedLoop
from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.llama.jobs import Command, Died, Event, Job, Loaded, Snapshot
from local_models.llama.log import LlamaLog
from local_models.llama.loop import Loop
from local_models.llama.model import Model
from local_models.llama.pooling import agreed_pooling, check_generates
from local_models.llama.preemption import Preemption
from local_models.llama.prefixes import WIDE, Prefixes
from local_models.llama.scheduler import Scheduler
from local_models.llama.shares import Shares
from local_models.types import Pooling, Runner

Deliver = Callable[[tuple[Event, ...]], None]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the engine is run. `context` is tokens per sequence."""

    path: Path
    parallel: int
    context: int
    threads: int
    runner: Runner = "generate"
    pooling: Pooling | None = None
    """Runner pooling: how vectors are pooled, where the file does not say."""
    shares: Shares = field(default_factory=Shares)
    reuse: bool = True
    """What sequences leave in their slots serves those that begin alike."""
    attention: Attention = "flash"
    aside_threads: int | None = None
    """How many of the threads evaluate a long prompt aside; 0: none is evaluated so. None: half of them."""


class Outbox:
    """Events that nobody has been told of yet.

    They are sent just before the owner thread calls llama.cpp. Whoever is told wakes at once and needs the interpreter:
    as long as the owner thread held it, they would only take the CPU from a decoding thread, in vain, and wake again.
    A token of one stream takes 5.1 ms so, where it takes 5.3 if its events are sent as soon as they are there.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._events: tuple[Event, ...] = ()

    def put(self, events: tuple[Event, ...]) -> None:
        """These have happened."""
        self._events += events

    def send(self) -> None:
        """Tell of all."""
        if self._events:
            events, self._events = self._events, ()
            self._deliver(events)


class Worker:
    """Starts the thread and talks to it. All public methods may be called from any thread."""

    def __init__(self, settings: Settings, log: LlamaLog) -> None:
        self._settings = settings
        self._log = log
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._preemption = Preemption()
        self._thread: threading.Thread | None = None
        self.snapshot = Snapshot()
        """The latest published numbers."""

    @property
    def alive(self) -> bool:
        """The thread has been started and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, deliver: Deliver) -> None:
        """Load the model and serve; `Loaded` or `Died` comes first.

        `deliver` is called on the owner thread, before a step and where there is no other; it must not block.
        """
        self._thread = threading.Thread(target=self._run, args=(deliver,), name="llama-owner", daemon=True)
        self._thread.start()

    def send(self, command: Command) -> None:
        """Hand over a command; it takes effect before the next step."""
        self._commands.put(command)
        if isinstance(command, Job):
            self._preemption.came(command.priority)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread after `Order.STOP`; False when it did not come in `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.alive

    def _run(self, deliver: Deliver) -> None:
        try:
            model = Model(self._settings.path, self._log)
        except StartError as error:
            deliver((Died(error),))
            return
        try:
            self._serve(model, deliver)
        except StartError as error:
            deliver((Died(error),))
        except Exception as error:  # the thread's last act: say why it ends, or clients wait for ever
            _logger.exception("the owner thread ends")
            deliver((Died(StartError(f"the engine broke: {error}", EXIT_REFUSED)),))

    def _serve(self, model: Model, deliver: Deliver) -> None:
        with contextlib.ExitStack() as held:
            loop = self._pooling(model, held) if self._settings.runner == "pooling" else self._generating(model, held)
            loop.warm_up()
            outbox = Outbox(deliver)
            outbox.put((Loaded(model),))
            outbox.send()
            while loop.obey():
                outbox.put(loop.step(outbox.send))
                self.snapshot = loop.snapshot()
                if loop.idle:
                    outbox.send()
            outbox.send()

    def _context(self, model: Model, parallel: int) -> Context:
        settings = self._settings
        return Context(
            model,
            self._log,
            parallel=parallel,
            context=settings.context,
            threads=settings.threads,
            batch=parallel + max(settings.shares.alone, settings.shares.beside),
            attention=settings.attention,
        )

    def _aside(self, model: Model, context: Context) -> Aside | None:
        """Where long prompts are evaluated beside others, unless nobody can be beside them."""
        settings = self._settings
        threads = max(1, settings.threads // 2) if settings.aside_threads is None else settings.aside_threads
        if settings.parallel == 1 or not threads:
            return None
        if not model.keeps_all:
            _logger.warning("no long prompt is evaluated aside: this model's memory has windows or states")
            return None
        if (single := spare(context, lambda: self._context(model, 1))) is None:
            return None
        return Aside(single, Threads(settings.threads, threads), settings.shares.alone, self._commands.put)

    def _generating(self, model: Model, held: contextlib.ExitStack) -> Loop:
        settings = self._settings
        check_generates(model.nature)
        context = held.enter_context(contextlib.closing(self._context(model, settings.parallel)))
        if (aside := self._aside(model, context)) is not None:
            held.enter_context(contextlib.closing(aside))
        # With one kernel for all there is nothing that a prefix could have been evaluated by otherwise.
        narrow = settings.shares.alone < WIDE or settings.attention == "plain"
        shares = replace(settings.shares, wide=settings.shares.wide and not narrow)
        prefixes = Prefixes(settings.parallel, settings.context, narrow=narrow) if settings.reuse else None
        scheduler = Scheduler(settings.parallel, shares, prefixes, moves=model.keeps_all)
        if model.keeps_all:  # what a call has done that ended early can be undone
            context.heed(self._preemption)
            self._log.hush(lambda: self._preemption.asked)
        return Loop(model.vocabulary, context, scheduler, self._commands, aside=aside)

    def _pooling(self, model: Model, held: contextlib.ExitStack) -> EmbedLoop:
        settings = self._settings
        context = EmbedContext(
            model,
            self._log,
            context=settings.context,
            threads=settings.threads,
            pooling=agreed_pooling(model.nature, settings.pooling),
        )
        held.enter_context(contextlib.closing(context))
        return EmbedLoop(context, settings.parallel, self._commands)
