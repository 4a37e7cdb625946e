"""GET /v1/models: the names a caller may ask for, in an object that the clients of both APIs can read."""

from datetime import UTC, datetime
from typing import Any

from gateway.routing import ANY_NAME, AUTO, RoutingTable
from gateway.types import TIERS


def model_list(table: RoutingTable, created: int) -> dict[str, Any]:
    """OpenAI's list and Anthropic's only page; each entry also says under `forebay` what the name stands for."""
    names = list(table.names())
    return {
        "object": "list",
        "data": [_entry(name, created, table) for name in names],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def model_entry(table: RoutingTable, name: str, created: int) -> dict[str, Any] | None:
    """One entry of the list, or None where the name is not on it."""
    return _entry(name, created, table) if name in table.names() else None


def _entry(name: str, created: int, table: RoutingTable) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "type": "model",
        "display_name": name,
        "created": created,
        "created_at": datetime.fromtimestamp(created, UTC).isoformat(),
        "owned_by": "forebay",
        "forebay": _meaning(name, table),
    }


def _meaning(name: str, table: RoutingTable) -> dict[str, Any]:
    if name == AUTO:
        return {"kind": "auto", "any_name": ANY_NAME in table.aliases}
    tier = next((tier for tier in TIERS if tier == name), None)
    if tier is not None and table.tiers[tier]:
        return {"kind": "tier", "backends": list(table.tiers[tier])}
    spec = table.specs.get(name)
    if spec is not None:
        return {
            "kind": "backend",
            "tier": table.tier_of(name),  # `vectors` where it gives those
            "model": spec.model,
            "on_box": spec.on_box,
            "region": spec.region,
            "context": spec.context,
            "capabilities": sorted(spec.capabilities),
        }
    return {"kind": "alias", "of": table.aliases[name]}
