"""What the fault server can be told to do with a chat call; sent to it as JSON.

`after` counts pieces of an answer (words, one event each on a stream): -1 is before the status line, 0 after the
headers, k after k pieces. Of an answer that is not streamed, half the body is sent for any k above 0.
"""

from typing import Literal

from msgspec import Struct

Ending = Literal["well", "eof", "unfinished", "done_unfinished", "error", "silence", "reset", "close"]
"""How an answer ends.

well              finish reason, usage, [DONE]
eof               finish reason and usage, then a proper end of the body without [DONE]
unfinished        a proper end of the body without a finish reason
done_unfinished   [DONE] without a finish reason
error             an event with an error in it, then a proper end
silence           nothing more comes, the connection stays
reset, close      RST, or FIN in the middle of the body
"""


class Tool(Struct, frozen=True):
    """A tool call in an answer; `arguments` is JSON text, good or bad."""

    name: str
    arguments: str


class Says(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="do", tag="says"):
    """An answer of the API, whole or streamed as the call asks, ending well or not.

    `logprob` is that of every token, None for an API without logprobs. `usage` missing leaves it out of the answer,
    not out of the invoice; the token counts are the words unless given. `hold` is a name: before piece `hold_after`
    the answer waits until that name is released. `reset_at` is a byte of the whole response. `bytes_per_s` is the
    speed of the line.
    """

    text: str | None = "All is well."
    finish_reason: str = "stop"
    refusal: str | None = None
    reasoning: str | None = None
    tools: tuple[Tool, ...] = ()
    logprob: float | None = -0.05
    model: str | None = None
    usage: Literal["given", "missing"] = "given"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    pause_s: float = 0.0
    hold: str | None = None
    hold_after: int = -1
    ends: Ending = "well"
    after: int = 0
    reset_at: int | None = None
    bytes_per_s: int | None = None
    gzip: bool = False
    headers: dict[str, str] = {}


class Status(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="do", tag="status"):
    """An HTTP status with the error body of the API that was called, or with `body` instead; nothing is billed."""

    status: int
    message: str = "the provider's own words"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = {}
    body: str | None = None


class Raw(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="do", tag="raw"):
    """A 200 with this body, whatever was asked; its words are billed, for the model has written them."""

    body: str
    content_type: str = "application/json"


class ClosesReused(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="do", tag="closes_reused"):
    """A server whose idle time ends as the call comes: a connection used before is closed without a byte.

    Nothing is billed then. On a fresh connection it answers `text`.
    """

    text: str = "All is well."


Behaviour = Says | Status | Raw | ClosesReused


class Door(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who may see the list of models: holders of `key`, everybody where that is None. `ahead_s`: how far the server's
    clock is ahead, as it says in its Date; without it, it says no date. `models` are what it lists.
    """

    key: str | None = None
    ahead_s: float | None = None
    models: tuple[str, ...] = ("any",)


class Price(Struct, frozen=True):
    """US dollars per million tokens, as decimal text."""

    input: str = "0"
    output: str = "0"
    cached: str | None = None


class Program(Struct, frozen=True, omit_defaults=True):
    """What the next calls of a model meet, in this order; with `always`, every call that meets nothing else."""

    model: str
    behaviours: tuple[Behaviour, ...]
    always: bool = False


class Wanted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A state to wait for, at most `timeout` seconds: a count of calls that is at least, or at most, this much.

    arrived: since the last reset; ended: of these; open: still under way; held: waiting for a release.
    """

    what: Literal["arrived", "ended", "open", "held"]
    model: str | None = None
    least: int = 0
    most: int = 1_000_000_000
    timeout: float = 10.0


class Bill(Struct, frozen=True):
    """What one call costs."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_nano: int


class Call(Struct, frozen=True, kw_only=True):
    """One call as the server saw it. Times are seconds of the monotonic clock, which processes of a box share.

    `end` is None while it is under way. `bill` is None where nothing is charged. `connection` counts connections.
    `problem` is what a judge finds wrong with the body, which is refused for it.
    """

    number: int
    connection: int
    path: str
    model: str
    headers: dict[str, str]
    body: str
    arrived_at: float
    ended_at: float | None = None
    end: Literal["answered", "broken_off", "client_left"] | None = None
    bill: Bill | None = None
    problem: str | None = None


class State(Struct, frozen=True):
    """Everything that happened since the last reset, and how many connections of callers stand now."""

    calls: tuple[Call, ...]
    connections: int
