"""Gateways that tests share, and the fault server behind them."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.configs import LIGHT, PRICES, SECRETS, embedders, frail, real_tiers, three_apis, three_tiers, two_regions
from tests.e2e.homes import home_folder
from tests.e2e.second_engine import second_engine
from tests.e2e.stack import Stack, running
from tests.faults.behaviours import Price
from tests.faults.handle import FaultServer, fault_server

_FRAIL = tuple([f"f{number:03}" for number in range(400)])
_FRAIL_CLAUDES = tuple([f"c{number:03}" for number in range(60)])


@pytest.fixture(scope="session")
def the_fault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    """One for the whole session, with the prices that the gateways are told."""
    with fault_server(tmp_path_factory.mktemp("faults")) as server:
        server.prices(
            **{
                model: Price(
                    *(str(PRICES[tier][kind]) for kind in ("input", "output", "cached") if kind in PRICES[tier])
                )
                for model, tier in ((LIGHT, "light"), ("mid", "mid"), ("premium", "premium"))
            }
        )
        yield server


@pytest.fixture
def faults(the_fault_server: FaultServer) -> FaultServer:
    """The fault server without programs or calls of other tests."""
    the_fault_server.reset()
    return the_fault_server


@pytest.fixture(scope="session")
def the_three_tiers(the_fault_server: FaultServer) -> Iterator[Stack]:
    """A gateway over three fault-server tiers."""
    with running(three_tiers(the_fault_server), SECRETS) as stack:
        yield stack.ready("light", "mid", "premium")


@pytest.fixture
def tiers(the_three_tiers: Stack, faults: FaultServer) -> Stack:
    """A gateway over three fault-server tiers, shared: tests leave its breakers closed."""
    return the_three_tiers


@pytest.fixture
def breaking(tiers: Stack, faults: FaultServer) -> Iterator[Stack]:
    """The same for a test whose providers fail: they answer again at its end, so that failures of several tests,
    in whatever order these run, never add up to an open breaker.
    """
    yield tiers
    faults.reset()
    assert [tiers.chat(backend).status_code for backend in ("mini", "big")] == [200, 200]


@pytest.fixture(scope="session")
def the_two_regions(the_fault_server: FaultServer) -> Iterator[Stack]:
    """A gateway with tenants, keys and regions."""
    with running(two_regions(the_fault_server)) as stack:
        yield stack.ready("light", "mid", "premium")


@pytest.fixture
def regions(the_two_regions: Stack, faults: FaultServer) -> Stack:
    """A gateway with tenants, keys and regions, shared: tests leave its breakers closed."""
    return the_two_regions


@pytest.fixture(scope="session")
def frail_names() -> Iterator[str]:
    """Names of backends that nobody has met yet."""
    return iter(_FRAIL)


@pytest.fixture(scope="session")
def frail_stack(the_fault_server: FaultServer) -> Iterator[Stack]:
    """A gateway over a crowd of backends that break, and one that does not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
        with running(frail(the_fault_server, _FRAIL, nowhere)) as stack:
            yield stack


@pytest.fixture
def frail_backend(frail_names: Iterator[str]) -> str:
    """The name of a backend that no test has met, whose breaker is closed."""
    return next(frail_names)


@pytest.fixture(scope="session")
def real_mid(model_path: Path) -> Iterator[str]:
    """The address of a second real engine."""
    with second_engine(model_path) as url:
        yield url


@pytest.fixture(scope="session")
def the_real_tiers(the_fault_server: FaultServer, real_mid: str, model_path: Path) -> Iterator[Stack]:
    """A gateway over two real engines and the fault server."""
    with running(real_tiers(real_mid, the_fault_server), model=model_path) as stack:
        yield stack.ready("light", "mid", "premium")


@pytest.fixture
def real(the_real_tiers: Stack, faults: FaultServer) -> Stack:
    """A gateway whose light tier is the default model, mid a second engine, and premium the fault server; shared."""
    return the_real_tiers


@pytest.fixture(scope="session")
def the_strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    """A provider of both APIs that takes only what the official clients could have sent."""
    with fault_server(tmp_path_factory.mktemp("strict"), strict=True) as server:
        server.prices(
            **dict.fromkeys(("gpt", "gpt-text"), Price("0.253", "2.011", "0.0253")),
            **dict.fromkeys(("claude", *_FRAIL_CLAUDES), Price("3.007", "15.013", "0.3001")),
        )
        yield server


@pytest.fixture
def strict(the_strict_server: FaultServer) -> FaultServer:
    """The strict provider without programs or calls of other tests."""
    the_strict_server.reset()
    return the_strict_server


@pytest.fixture(scope="session")
def the_three_apis(the_strict_server: FaultServer, real_mid: str) -> Iterator[Stack]:
    """A gateway over a real engine and a provider of each API."""
    with running(three_apis(real_mid, the_strict_server, _FRAIL_CLAUDES), SECRETS) as stack:
        yield stack.ready("light", "mid", "premium")


@pytest.fixture(scope="session")
def frail_claudes() -> Iterator[str]:
    """Names of backends of Anthropic's API that nobody has met yet."""
    return iter(_FRAIL_CLAUDES)


@pytest.fixture
def frail_claude(frail_claudes: Iterator[str]) -> str:
    """The name of one that no test has met, whose breaker is closed."""
    return next(frail_claudes)


@pytest.fixture
def apis(the_three_apis: Stack, strict: FaultServer) -> Stack:
    """A gateway over a real engine, OpenAI's API and Anthropic's, shared: tests leave its breakers closed."""
    return the_three_apis


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that nobody has used."""
    with home_folder() as folder:
        yield folder


@pytest.fixture
def blackhole() -> Iterator[str]:
    """An address that takes no connection and refuses none: the queue of those who wait is full."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            caller = waiting.enter_context(socket.socket())
            caller.settimeout(0)
            caller.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


@pytest.fixture(scope="session")
def the_embedders(the_fault_server: FaultServer, embedding_model_path: Path, model_path: Path) -> Iterator[Stack]:
    """A gateway that gives vectors."""
    the_fault_server.prices(**{"embed-large": Price("0.131"), "embed-other": Price("0.017")})
    with running(embedders(the_fault_server, str(embedding_model_path), str(model_path))) as stack:
        yield stack.ready("vectors")


@pytest.fixture
def vectors(the_embedders: Stack, faults: FaultServer) -> Stack:
    """A gateway that gives vectors, shared: tests leave its breakers closed."""
    return the_embedders
