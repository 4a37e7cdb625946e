"""Which backends may give the vectors that a caller asks for. Pure.

All of them have one model, for vectors of two do not compare.
"""

from gateway.errors import Code, Reason, RequestError
from gateway.prices import cost
from gateway.routing import ANY_NAME, AUTO, RoutingTable
from gateway.types import TIERS, Candidate, Constraints, Exclusion, Route, Tier, TokenCount
from gateway.vectors import EmbeddingRequest

_HOW = (
    "an engine gives vectors with `runner: pooling` (and one made to write also with `pooling: mean`), "
    "a provider's backend with `embeddings: true`"
)


def givers(table: RoutingTable, request: EmbeddingRequest) -> tuple[str, ...]:
    """The backends that give the vectors asked for, the one that was named first. Raises RequestError.

    A name is a backend's, an alias, or the model's own; `auto` will do where there is one model only.
    """
    every = [name for name, spec in table.specs.items() if spec.vectors is not None]
    asked = request.requested_model
    name = _meant(table, asked, every)
    if name in every:
        found = (name, *(each for each in every if each != name and _kind(table, each) == _kind(table, name)))
    elif name in table.specs or name in TIERS:
        raise RequestError(
            f"the model {asked!r} writes text; {_HOW}", code=Code.CAPABILITY_NO_ELIGIBLE_BACKEND, param="model"
        )
    else:
        raise _unknown(table, asked, every)
    _check_tokens(table, request, name)
    return found


def plan_vectors(table: RoutingTable, names: tuple[str, ...], constraints: Constraints, prompt: TokenCount) -> Route:
    """The candidates among these backends, in their order."""
    candidates: list[Candidate] = []
    excluded: list[Exclusion] = []
    for name in names:
        spec = table.specs[name]
        forbidden = constraints.forbids(spec, Tier.VECTORS)
        if forbidden is not None:
            excluded.append(Exclusion(name, Tier.VECTORS, forbidden))
            continue
        reason = excluded[0].reason if excluded and not candidates else Reason.PINNED
        expected = cost(spec.price, prompt.tokens, 0)
        candidates.append(Candidate(backend=name, tier=Tier.VECTORS, reason=reason, cost_nano=expected))
    return Route(candidates=tuple(candidates), excluded=tuple(excluded), pinned=True)


def _meant(table: RoutingTable, asked: str, every: list[str]) -> str:
    """The backend behind a name, where it stands for one."""
    name = asked
    if name not in table.specs and name not in (AUTO, *TIERS):
        name = table.aliases.get(asked) or _named_so(table, asked, every) or table.aliases.get(ANY_NAME) or asked
    if name != AUTO or not every:
        return name
    return _only(table, asked, every)


def _named_so(table: RoutingTable, asked: str, every: list[str]) -> str | None:
    found = [each for each in every if table.specs[each].model == asked]
    return _only(table, asked, found) if found else None


def _only(table: RoutingTable, asked: str, found: list[str]) -> str:
    """The first of backends whose vectors compare."""
    if len({_kind(table, each) for each in found}) > 1:
        names = ", ".join(found)
        raise RequestError(
            f"{asked!r} may be any of {names}, whose vectors do not compare with each other's: name one", param="model"
        )
    return found[0]


def _kind(table: RoutingTable, name: str) -> str | None:
    return table.specs[name].vectors


def _unknown(table: RoutingTable, asked: str, every: list[str]) -> RequestError:
    known = [*every, *(alias for alias, name in table.aliases.items() if name in every and alias != ANY_NAME)]
    there = f"there are: {', '.join(known)}" if known else f"nothing here gives vectors: {_HOW}"
    return RequestError(
        f"the model {asked!r} does not exist here; {there}", code=Code.MODEL_NOT_FOUND, status=404, param="model"
    )


def _check_tokens(table: RoutingTable, request: EmbeddingRequest, name: str) -> None:
    """Whoever cuts a text into tokens does so for the model that was asked for; to another one they are other words."""
    model = table.specs[name].model
    if request.in_tokens and request.requested_model not in (name, model):
        raise RequestError(
            f"{request.requested_model!r} stands for {model} here, whose tokens are others: send text", param="input"
        )
