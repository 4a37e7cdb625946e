"""The only composition root: builds every part from the configuration, and owns every lifetime."""

from gateway.app.certificate import Certificate
from gateway.app.engines import EngineFailure
from gateway.app.gateway import Gateway
from gateway.app.serving import Addresses, Stop, bound, renewing, serve

__all__ = ["Addresses", "Certificate", "EngineFailure", "Gateway", "Stop", "bound", "renewing", "serve"]
