"""The admin address, loopback only: metrics for Prometheus, health for supervisors, the gate for people."""

import msgspec
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.gate import Gate
from gateway.gates import GateReport
from gateway.server.readiness import ReadinessProbe


def build_admin(version: str, registry: CollectorRegistry, gate: Gate, readiness: ReadinessProbe) -> FastAPI:
    """The admin application."""
    app = FastAPI(title="Forebay admin", version=version, docs_url=None, redoc_url=None)

    @app.get("/metrics", summary="Prometheus metrics.")
    async def metrics() -> Response:
        """Everything that is counted, in the text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health", summary="The process lives.")
    async def health() -> dict[str, str]:
        """Answers 200 as long as the process can answer at all."""
        return {"status": "ok"}

    @app.get("/ready", summary="Some tier can answer.")
    async def ready() -> Response:
        """The same as on the API's address."""
        found = readiness.look()
        return JSONResponse(msgspec.to_builtins(found), 200 if found.ready else 503)

    @app.get("/admin/gate", summary="The gate.")
    async def gate_states() -> Response:
        """Slots, use, queue and state of each engine; what its gate has learnt, and by what it decided lately."""
        return JSONResponse([_flat(report) for report in gate.reports()])

    @app.get("/admin/gpus", summary="The GPUs.")
    async def gpus() -> Response:
        """What NVIDIA's driver tells of each, how it is, and why."""
        return JSONResponse(msgspec.to_builtins(gate.gpus))

    return app


def _flat(report: GateReport) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(report)
    state: dict[str, object] = msgspec.to_builtins(report.state)
    return state | {name: value for name, value in told.items() if name != "state"}
