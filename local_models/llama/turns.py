"""What a conversation is made of, as templates and prompts are given it. Frozen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the model may call; `parameters` is the JSON schema of its arguments as it came, None when it has none."""

    name: str
    description: str | None = None
    parameters: bytes | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool. `arguments` is the JSON text that the model wrote."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: a role the template knows and plain text.

    The assistant's has the `calls` it made; a tool's result says in `answers` which call it is the result of.
    """

    role: str
    content: str
    calls: tuple[Call, ...] = ()
    answers: str | None = None
