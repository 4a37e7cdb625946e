"""`python -m local_models.llama`: one GGUF over HTTP until SIGTERM."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, get_args

import uvicorn
import uvloop

from local_models.hardware import cpu_count
from local_models.llama.app import App
from local_models.llama.context import Attention
from local_models.llama.embed_app import EmbedApp
from local_models.llama.embedding import EmbedAsks
from local_models.llama.engine import Desk, Engine
from local_models.llama.errors import EXIT_NO_SOCKET, StartError
from local_models.llama.gguf import check
from local_models.llama.jobs import Event, Order
from local_models.llama.log import LlamaLog
from local_models.llama.machine import die_with_parent
from local_models.llama.metrics import Metrics
from local_models.llama.service import Identity, Service
from local_models.llama.shares import Shares
from local_models.llama.spin import brief_beside_others
from local_models.llama.worker import Settings, Worker

_BACKLOG: Final = 2048
_DRAIN_SECONDS: Final = 5
_JOIN_SECONDS: Final = 3.0
_TEXT_STACK: Final = 512 * 1024 * 1024
"""Some tokenizers are std::regex in llama.cpp, which recurses once per character: an 8 MB stack overflows on a word
of 100,000 letters, and takes the process with it. Only touched pages are real memory."""


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us: its own handler would end the process by the signal instead of exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not install handlers."""
        yield


def main() -> int:
    """Run the engine; returns the exit code (see `errors` for those that are not 0)."""
    arguments = _arguments()
    # The owner thread comes back from llama.cpp twenty times a second and more, and must not wait 5 ms for the
    # interpreter each time another thread is busy with a body or a schema.
    sys.setswitchinterval(0.001)
    logging.basicConfig(level=logging.WARNING, format="forebay engine: %(levelname)s: %(message)s")
    try:
        if not arguments.stand_alone:
            die_with_parent()
        check(arguments.model)
        with _listen(arguments) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(arguments, listener))
    except StartError as error:
        sys.stderr.write(f"forebay engine: {error}\n")
        return error.exit_code
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_models.llama", description="Serves one GGUF over HTTP (OpenAI's API)."
    )
    parser.add_argument("--model", type=Path, required=True, metavar="PATH.gguf")
    parser.add_argument("--name", required=True, help="the model's name in requests and answers")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=_within(0, 65535), help="0 takes a free one")
    where.add_argument("--fd", type=_within(0, 2**20), help="a listening socket inherited from the parent")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--parallel", type=_within(1, 128), default=8, help="sequences decoded together")
    parser.add_argument("--context", type=_within(16, 2**24), default=4096, help="tokens per sequence")
    parser.add_argument("--threads", type=_within(1, 1024), default=cpu_count())
    parser.add_argument("--max-waiting", type=_within(0, 2**20), default=64, help="requests beyond the slots")
    parser.add_argument(
        "--prompt-batch",
        type=_within(1, 512),
        default=Shares().alone,
        metavar="TOKENS",
        help="prompt tokens of a step without running sequences; with 63 or fewer, which takes longer, whatever is up "
        "to 256 tokens long with its prompt is the same to the last bit whoever else is served and what is reused",
    )
    parser.add_argument(
        "--no-prefix-reuse",
        action="store_true",
        help="evaluate every prompt from its beginning. Else a prompt that begins like one before, or like one that is "
        "being answered, goes on from there: no content passes from one caller to another, but who can measure times, "
        "or reads cached_tokens, can find out whether somebody else sent a prompt that begins in a certain way",
    )
    parser.add_argument(
        "--attention",
        choices=get_args(Attention),
        default="flash",
        help="flash: short answers are the same whoever else is served. plain: from some 500 tokens on steps take half "
        "the time and less; what is generated may depend on others",
    )
    parser.add_argument("--runner", choices=("generate", "pooling"), default="generate", help="text, or vectors")
    parser.add_argument(
        "--pooling", choices=("mean", "last", "cls"), help="runner pooling with a model that was made to generate"
    )
    parser.add_argument(
        "--aside-threads",
        type=_within(0, 1024),
        metavar="THREADS",
        help="of the threads, how many evaluate a long prompt while the others decode the streams (default: half); "
        "0: it is evaluated between the streams' tokens, which stops them for a moment, and saves the memory of one "
        "sequence",
    )
    parser.add_argument("--stand-alone", action="store_true", help="live on when the parent process dies")
    arguments = parser.parse_args()
    if arguments.pooling and arguments.runner != "pooling":
        parser.error("--pooling is for --runner pooling")
    return arguments


def _within(low: int, high: int) -> Callable[[str], int]:
    """An argparse type: whole numbers from `low` to `high`."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return convert


def _listen(arguments: argparse.Namespace) -> socket.socket:
    """The listening socket: the parent's, or one of our own."""
    try:
        if arguments.fd is not None:
            inherited = socket.socket(fileno=arguments.fd)
            if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise StartError(f"--fd {arguments.fd} is not a listening socket", EXIT_NO_SOCKET)
            return inherited
        family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
        listener = socket.create_server((arguments.host, arguments.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        where = f"--fd {arguments.fd}" if arguments.fd is not None else f"{arguments.host} port {arguments.port}"
        raise StartError(
            f"cannot listen on {where}: {os.strerror(error.errno or 0)}; give another", EXIT_NO_SOCKET
        ) from error
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"forebay engine: {arguments.name} on http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()
    return listener


async def _serve(arguments: argparse.Namespace, listener: socket.socket) -> None:
    """Serve until a signal. Raises StartError when the model cannot be loaded."""
    loop = asyncio.get_running_loop()
    settings = Settings(
        path=arguments.model,
        parallel=arguments.parallel,
        context=arguments.context,
        threads=arguments.threads,
        runner=arguments.runner,
        pooling=arguments.pooling,
        shares=Shares(alone=arguments.prompt_batch, beside=min(arguments.prompt_batch, Shares().beside)),
        reuse=not arguments.no_prefix_reuse,
        attention=arguments.attention,
        aside_threads=arguments.aside_threads,
    )
    worker = Worker(settings, LlamaLog())
    with _text_thread() as texts, brief_beside_others():
        engine, app = _answering(arguments, worker, texts)
        server = _Server(_config(app))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, server, engine)
        worker.start(lambda events: _hand_over(loop, engine, events))
        watch = asyncio.create_task(_exit_without_model(engine, server))
        await server.serve(sockets=[listener])
        watch.cancel()
    worker.send(Order.STOP)
    if not await asyncio.to_thread(worker.join, _JOIN_SECONDS):
        # Deep inside llama.cpp, perhaps loading. Leaving in the orderly way would tear its memory from under it.
        sys.stderr.flush()
        os._exit(0)
    if engine.asks is None and engine.failure is not None:
        raise engine.failure


def _answering(arguments: argparse.Namespace, worker: Worker, texts: Executor) -> tuple[Desk[object], Service]:
    """The desk and the application of what this engine is for."""
    identity = Identity(arguments.name, arguments.context, created=int(time.time()))
    parallel, context, waiting = arguments.parallel, arguments.context, arguments.max_waiting
    if arguments.runner == "pooling":
        desk = Desk(worker, partial(EmbedAsks, context=context), parallel=parallel, max_waiting=waiting)
        metrics = Metrics(arguments.name, parallel=parallel, context=context, timings=desk.timings)
        return desk, EmbedApp(desk, metrics, identity, texts)
    engine = Engine(worker, parallel=parallel, context=context, max_waiting=waiting)
    metrics = Metrics(arguments.name, parallel=parallel, context=context, timings=engine.timings)
    return engine, App(engine, metrics, identity, texts)


def _hand_over(loop: asyncio.AbstractEventLoop, engine: Desk[object], events: tuple[Event, ...]) -> None:
    """Called on the owner thread."""
    loop.call_soon_threadsafe(engine.deliver, events)


def _stop(server: uvicorn.Server, engine: Desk[object]) -> None:
    """Stop accepting; what runs has some seconds to finish."""
    if not server.should_exit:
        server.should_exit = True
        engine.drain()
        asyncio.get_running_loop().call_later(_DRAIN_SECONDS, engine.abort)


async def _exit_without_model(engine: Desk[object], server: uvicorn.Server) -> None:
    """A model that cannot be loaded ends the process; an engine that breaks later says so in `/health` instead."""
    await engine.died()
    if engine.asks is None:
        server.should_exit = True


def _config(app: Service) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,  # longer than any client pools a connection, so that the client is the one to close
        timeout_graceful_shutdown=_DRAIN_SECONDS + 2,
    )


def _text_thread() -> ThreadPoolExecutor:
    """One thread with room for deep recursion."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="text")
    usual = threading.stack_size(_TEXT_STACK)
    try:
        pool.submit(int).result()  # the thread exists, and has the stack, from its first task on
    finally:
        threading.stack_size(usual)
    return pool


if __name__ == "__main__":
    sys.exit(main())
