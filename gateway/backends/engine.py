"""Where an engine is at the moment, and what it calls its model: both change with each start. And, where it is several
servers, which of them is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.backends.balance import Balancer
from gateway.errors import Broken, EngineGone, Unreachable
from gateway.messages import Delta, Usage
from gateway.ports import AnswerStream
from gateway.types import BackendSpec, EngineView, Replica

T = TypeVar("T")


class EngineAddress:
    """The engine behind a backend's name. `view` says what is known of it."""

    def __init__(self, spec: BackendSpec, view: Callable[[], EngineView | None]) -> None:
        self._spec = spec
        self._view = view
        self._balancer = Balancer()

    @property
    def model(self) -> str:
        """What it calls its model."""
        view = self._view()
        return view.model if view is not None and view.model else self._spec.model

    @property
    def several(self) -> bool:
        """Whether it is more than one server."""
        view = self._view()
        return view is not None and len(view.replicas) > 1

    async def ask(self, send: Callable[[str], Awaitable[T]], prefixes: Sequence[int] = ()) -> T:
        """What `send` makes of the address of a server that is to answer. `prefixes` stand for beginnings of a prompt,
        the longest first. A server that takes no connection, or breaks it off before it has answered, is passed over:
        whoever was to generate has changed nothing in the world.

        Raises EngineGone while none listens.
        """
        url, answer = await self._reach(send, prefixes)
        if url is not None:
            self._balancer.over(url)
        return answer

    async def stream(
        self, send: Callable[[str], Awaitable[AnswerStream]], prefixes: Sequence[int] = ()
    ) -> AnswerStream:
        """The same for an answer in pieces: a server has it to do until it is closed."""
        url, answer = await self._reach(send, prefixes)
        return answer if url is None else _Counted(answer, lambda: self._balancer.over(url))

    async def _reach(self, send: Callable[[str], Awaitable[T]], prefixes: Sequence[int]) -> tuple[str | None, T]:
        """The answer, and the server that has it to do, where that is one of several."""
        view = self._view()
        if view is None or view.url is None:
            raise EngineGone(f"{self._spec.name}: {'not seen yet' if view is None else view.detail}")
        if len(view.replicas) < 2:
            try:
                return None, await send(view.url)
            except Unreachable as error:
                # It has died a moment ago; the host is about to say so.
                raise self._unreachable() from error
        return await self._one_of(view.replicas, send, prefixes)

    async def _one_of(
        self, replicas: Sequence[Replica], send: Callable[[str], Awaitable[T]], prefixes: Sequence[int]
    ) -> tuple[str, T]:
        balancer, clock = self._balancer, asyncio.get_running_loop().time
        balancer.see(replicas)
        broken: Broken | Unreachable | None = None
        tried: set[str] = set()
        while (url := balancer.choose(clock(), prefixes, tried)) is not None:
            tried.add(url)
            balancer.sent(url)
            try:
                return url, await send(url)
            except (Broken, Unreachable) as error:
                broken = error
                balancer.over(url)
                balancer.doubt(url, clock())
            except BaseException:
                balancer.over(url)
                raise
        if isinstance(broken, Broken):
            raise broken
        raise self._unreachable() from broken

    def _unreachable(self) -> EngineGone:
        return EngineGone(f"{self._spec.name}: its engine takes no connections")


class _Counted:
    """A stream of which somebody keeps count; see `ports.AnswerStream`."""

    def __init__(self, stream: AnswerStream, over: Callable[[], None]) -> None:
        self._stream = stream
        self._over: Callable[[], None] | None = over

    @property
    def model(self) -> str:
        return self._stream.model

    @property
    def usage(self) -> Usage:
        return self._stream.usage

    @property
    def pause_s(self) -> float:
        return self._stream.pause_s

    async def batch(self) -> list[Delta]:
        return await self._stream.batch()

    def close(self) -> None:
        self._stream.close()
        if self._over is not None:
            over, self._over = self._over, None
            over()
