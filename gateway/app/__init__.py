"""The only composition root: builds every part from the configuration, and owns every lifetime."""

from gateway.app.engines import EngineFailure
from gateway.app.gateway import Gateway
from gateway.app.serving import Addresses, Stop, bound, serve

__all__ = ["Addresses", "EngineFailure", "Gateway", "Stop", "bound", "serve"]
