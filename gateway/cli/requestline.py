"""One request as one readable line, whether it comes from the ledger or from the JSON request log."""

import json
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
from msgspec import Struct
from rich.text import Text

from gateway.ledger.reading import LoggedRequest
from gateway.prices import dollars

_TIME = "%Y-%m-%d %H:%M:%S"
_STYLES = MappingProxyType({"ok": "green", "refused": "yellow", "interrupted": "red", "cancelled": "magenta"})


class RequestLine(Struct, frozen=True, kw_only=True):
    """What a line tells. Names are those of the JSON request log, so that it decodes into this as it is."""

    time: str
    """ISO 8601 in UTC."""
    request_id: str
    tenant: str
    status: str
    http_status: int
    requested_model: str = ""
    code: str | None = None
    task: str | None = None
    tier: str | None = None
    backend: str | None = None
    reason: str | None = None
    response_model: str | None = None
    attempts: int = 0
    escalated: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: str = "0.0"
    confidence: float | None = None
    latency_ms: float = 0.0
    ttft_ms: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the client got its whole answer."""
        return self.status == "ok"

    @property
    def at(self) -> float:
        """When it began, in Unix seconds; long ago where that cannot be read."""
        try:
            return datetime.fromisoformat(self.time).timestamp()
        except ValueError:
            return 0.0


def of_ledger(row: LoggedRequest) -> RequestLine:
    """The same of a row of the ledger."""
    at = datetime.fromtimestamp(row.started_at, UTC).isoformat(timespec="milliseconds")
    return RequestLine(
        time=at,
        request_id=row.request_id,
        tenant=row.tenant,
        status=row.status,
        http_status=row.http_status,
        requested_model=row.requested_model,
        code=row.code,
        task=row.task,
        tier=row.tier,
        backend=row.backend,
        reason=row.reason,
        response_model=row.response_model,
        attempts=row.attempts,
        escalated=bool(row.escalated),
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cost_usd=dollars(row.cost_nano_usd),
        confidence=row.confidence,
        latency_ms=round(row.latency_s * 1000, 1),
        ttft_ms=None if row.ttft_s is None else round(row.ttft_s * 1000, 1),
    )


def of_log(line: str) -> RequestLine | None:
    """A line of the JSON request log, with whatever a supervisor has put before it; None for any other line."""
    begin = line.find('{"time":')
    if begin < 0:
        return None
    try:
        return msgspec.json.decode(line[begin:].strip(), type=RequestLine)
    except (msgspec.DecodeError, RecursionError):
        return None


def rendered(line: RequestLine) -> Text:
    """The line with its colours, in the time of this box; nothing in it can command a terminal."""
    style = _STYLES.get(line.status, "bold")
    model = f" ({line.response_model})" if line.response_model and line.response_model != line.backend else ""
    tokens = "" if line.prompt_tokens is None else f"{line.prompt_tokens}+{line.completion_tokens or 0} tok"
    first = f" first {line.ttft_ms / 1000:.2f}s" if line.ttft_ms is not None else ""
    pieces = (
        (_local(line.time), "dim"),
        (f"{line.http_status} {line.status:<11}", style),
        (line.tenant, "bold"),
        (f"{line.tier}/{line.backend}{model}" if line.backend else "", "cyan"),
        (line.code or line.reason or "", "" if line.ok else "bold"),
        *((detail, "") for detail in _details(line)),
        (tokens, ""),
        (f"${line.cost_usd}", ""),
        (f"{line.latency_ms / 1000:.2f}s{first}", ""),
        (line.request_id, "dim"),
    )
    return Text(" ").join(Text(harmless(text), style) for text, style in pieces if text)


def _details(line: RequestLine) -> list[str]:
    said = [f"task={line.task}"] if line.task else []
    if line.attempts > 1:
        said.append(f"calls={line.attempts}")
    if line.escalated:
        said.append("escalated")
    if line.confidence is not None:
        said.append(f"confidence={line.confidence:.2f}")
    if not line.ok and line.requested_model:
        said.append(f"asked={line.requested_model}")
    return said


def _local(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().strftime(_TIME)
    except ValueError:
        return time


def harmless(text: str) -> str:
    """Control characters of names as escapes: a log is read at a terminal."""
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)


def as_json(line: RequestLine) -> str:
    """One line of JSON."""
    fields = {name: value for name, value in msgspec.to_builtins(line).items() if value is not None}
    return json.dumps(fields, separators=(",", ":"))
