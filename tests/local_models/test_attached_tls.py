"""Attached servers over TLS: they count as well only when their certificate is accepted."""

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from local_models.attached import AttachedEngine
from local_models.roster import Roster
from local_models.supervisor import Surroundings
from local_models.trust import client_context
from local_models.types import EngineSnapshot, EngineSpec, EngineState
from tests.local_models.bench import PATIENCE_S
from tests.pki import Authority, Pair
from tests.tap import tapped
from tests.tls_server import tls_server

WELL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


async def seen(folder: Path, url: str, ca: str | None) -> EngineSnapshot:
    """What is said of an attached server after its first check."""
    spec = EngineSpec(name="far", kind="attached", model="m", urls=(url,), ca=ca)
    changed = asyncio.Event()
    async with httpx.AsyncClient(trust_env=False, verify=client_context()) as http:
        engine = AttachedEngine(spec, Surroundings(http, folder, Roster(folder / "engines.json"), changed.set))
        running = asyncio.create_task(engine.run())
        async with asyncio.timeout(PATIENCE_S):
            while engine.snapshot().state is EngineState.STARTING:
                changed.clear()
                await changed.wait()
        found = engine.snapshot()
        engine.stop()
        await asyncio.wait_for(running, PATIENCE_S)
    return found


async def test_a_server_with_the_companys_certificate_is_up(tmp_path: Path) -> None:
    """With the authority's file, and without it not."""
    authority = Authority(tmp_path / "company")
    with tls_server(authority.issue("good"), WELL) as server:
        assert (await seen(tmp_path, server.url, authority.pem)).state is EngineState.UP
        without = await seen(tmp_path, server.url, None)
    assert without.state is EngineState.FENCED
    assert "its certificate is not accepted: unable to get local issuer certificate" in without.detail


@pytest.mark.parametrize("wrong", ["host", "expired", "authority"])
async def test_a_server_with_a_wrong_certificate_is_fenced(tmp_path: Path, wrong: str) -> None:
    """For another name, out of date, of somebody else: nothing is asked of it, and a person can read why."""
    authority = Authority(tmp_path / "company")
    pairs: dict[str, tuple[Pair, str]] = {
        "host": (authority.issue("other", "gpu.example.com"), "IP address mismatch"),
        "expired": (authority.issue("old", valid=timedelta(hours=-1)), "certificate has expired"),
        "authority": (Authority(tmp_path / "stranger", "Another").issue("good"), "issuer certificate"),
    }
    pair, why = pairs[wrong]
    with tls_server(pair, WELL) as server:
        found = await seen(tmp_path, server.url, authority.pem)
    assert server.received == []
    assert found.state is EngineState.FENCED
    assert why in found.detail


async def test_a_health_check_is_not_sent_elsewhere(tmp_path: Path) -> None:
    """A redirect is no answer, and is not followed."""
    authority = Authority(tmp_path / "company")
    with tapped() as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nlocation: {elsewhere.url}/health\r\ncontent-length: 0\r\n\r\n".encode()
        with tls_server(authority.issue("good"), moved) as server:
            found = await seen(tmp_path, server.url, authority.pem)
    assert elsewhere.heard == []
    assert found.state is EngineState.FENCED
    assert "HTTP 307" in found.detail
