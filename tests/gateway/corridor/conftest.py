"""Windows, waits and deadlines take no time in tests of the corridor."""

from collections.abc import Callable, Mapping

from tests.gateway.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], VirtualLoop]]:
    """Loops whose clock jumps."""
    return {"virtual": VirtualLoop}
