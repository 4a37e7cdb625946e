"""What a person is told about a configuration file: one line per problem, all problems at once."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.errors import ForebayError


class Problem(Struct, frozen=True, kw_only=True):
    """One thing to mend.

    `line` and `column` count from 1 and are None only where there is no text to point at (no such file).
    `key` is a dotted path, empty for the file as a whole. `suggestion` is the nearest valid key or value.
    """

    file: str
    line: int | None
    column: int | None
    key: str
    message: str
    suggestion: str | None = None

    @property
    def place(self) -> str:
        """`file:line`, which terminals and editors open at a click."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def sentence(self) -> str:
        """What was expected and found, with the suggestion."""
        if self.suggestion is None:
            return self.message
        return f'{self.message}; did you mean "{self.suggestion}"?'

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.key, self.sentence) if part)


class ConfigError(ForebayError):
    """A configuration that cannot be used. `problems` is never empty and in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
