"""Whether anybody watches the engines at all: what the gate makes of who follows the engine host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.app.engines import Engines
from gateway.errors import Rejected
from gateway.gate import Gate, GateSettings
from local_models.endpoint import listen, prepare_run_folder
from local_models.protocol import VERSION, Snapshots, Welcome, encode
from local_models.types import EngineSnapshot, EngineState
from tests.gateway.applicants import applicant
from tests.gateway.nouns import SLA, change
from tests.gateway.virtual_time import pass_time

PRO = change(SLA, ttft_s=1.0)
UP = EngineSnapshot(
    name="small",
    state=EngineState.UP,
    url="http://e",
    detail="",
    since=0.0,
    restarts=0,
    pid=1,
    model="m",
    slots=2,
)


@asynccontextmanager
async def host(home: Path) -> AsyncIterator[None]:
    """An engine host whose one engine is up, which it says each second, and never has any news."""

    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(Welcome(VERSION, 1)))
        while not writer.is_closing():
            writer.write(encode(Snapshots((UP,))))
            await asyncio.sleep(1.0)

    prepare_run_folder(home)
    server = await asyncio.start_unix_server(speak, sock=listen(home)[0])
    try:
        yield
    finally:
        server.close()


async def let_in(gate: Gate) -> int:
    """How many of two with a promise, who may go elsewhere, get a slot at once."""
    permits = []
    for _ in range(2):
        try:
            permits.append(await gate.enter("small", applicant(PRO, alone=False)))
        except Rejected:
            continue
    for permit in permits:
        permit.release()
    return len(permits)


async def test_an_engine_without_news_is_trusted_as_long_as_somebody_watches(tmp_path: Path) -> None:
    """The host says the same for minutes, and all slots are there; half of them when nobody has followed it for some
    seconds, and then none.
    """
    gate = Gate({"small": 2}, GateSettings(max_wait_s=0.0, max_wait_alone_s=1.0, max_waiting=4))
    async with host(tmp_path):
        engines = await Engines.at_work(tmp_path, gate, lambda _engine: None)
        assert engines is not None
        await pass_time(120.0)
        assert await let_in(gate) == 2
        await engines.close(stop=False)
        # What it said last stands: that nobody says anything any more is what counts.
        await pass_time(7.0)
        assert await let_in(gate) == 1
        await pass_time(10.0)
        assert await let_in(gate) == 0
