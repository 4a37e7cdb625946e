"""The owner thread: the only one that calls into the model's context. Loads the model, then runs the `loop`."""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from local_models.llama.context import Attention, Context
from local_models.llama.embed_context import EmbedContext
from local_models.llama.embed_loop import EmbedLoop
from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.llama.jobs import Command, Died, Event, Loaded, Snapshot
from local_models.llama.log import LlamaLog
from local_models.llama.loop import Loop
from local_models.llama.model import Model
from local_models.llama.pooling import agreed_pooling, check_generates
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


class Worker:
    """Starts the thread and talks to it. All public methods may be called from any thread."""

    def __init__(self, settings: Settings, log: LlamaLog) -> None:
        self._settings = settings
        self._log = log
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.snapshot = Snapshot()
        """The latest published numbers."""

    @property
    def alive(self) -> bool:
        """The thread has been started and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, deliver: Deliver) -> None:
        """Load the model and serve; `Loaded` or `Died` comes first.

        `deliver` is called on the owner thread after every step that has something to say; it must not block.
        """
        self._thread = threading.Thread(target=self._run, args=(deliver,), name="llama-owner", daemon=True)
        self._thread.start()

    def send(self, command: Command) -> None:
        """Hand over a command; it takes effect before the next step."""
        self._commands.put(command)

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
        context, loop = self._pooling(model) if self._settings.runner == "pooling" else self._generating(model)
        loop.warm_up()
        deliver((Loaded(model),))
        while loop.obey():
            events = loop.step()
            self.snapshot = loop.snapshot()
            if events:
                deliver(events)
        context.close()

    def _generating(self, model: Model) -> tuple[Context, Loop]:
        settings = self._settings
        check_generates(model.nature)
        context = Context(
            model,
            self._log,
            parallel=settings.parallel,
            context=settings.context,
            threads=settings.threads,
            batch=settings.parallel + max(settings.shares.alone, settings.shares.beside),
            attention=settings.attention,
        )
        # With one kernel for all there is nothing that a prefix could have been evaluated by otherwise.
        narrow = settings.shares.alone < WIDE or settings.attention == "plain"
        shares = replace(settings.shares, wide=settings.shares.wide and not narrow)
        prefixes = Prefixes(settings.parallel, settings.context, narrow=narrow) if settings.reuse else None
        scheduler = Scheduler(settings.parallel, shares, prefixes)
        return context, Loop(model.vocabulary, context, scheduler, self._commands)

    def _pooling(self, model: Model) -> tuple[EmbedContext, EmbedLoop]:
        settings = self._settings
        context = EmbedContext(
            model,
            self._log,
            context=settings.context,
            threads=settings.threads,
            pooling=agreed_pooling(model.nature, settings.pooling),
        )
        return context, EmbedLoop(context, settings.parallel, self._commands)
