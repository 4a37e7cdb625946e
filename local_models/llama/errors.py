"""Everything the CPU engine refuses or fails with.

* EngineError
  + StartError         the process cannot serve: one line on stderr and `exit_code`
  + RequestError       one request is refused: `status`, `message`, `param`, `code` in OpenAI's error shape
  + SchemaError        a JSON schema cannot be turned into a grammar; the routes make a 400 of it
    + KeywordError     it may well be right, but says what the grammar cannot enforce
  + TemplateError      the model's chat template cannot render these messages; likewise a 400
"""

from typing import Final, Literal

EXIT_BAD_FILE: Final = 3
"""The model file is missing, too short or no GGUF; known before llama.cpp is asked."""
EXIT_REFUSED: Final = 4
"""llama.cpp (or the model's own limits) refused the model or the settings."""
EXIT_NO_SOCKET: Final = 5
"""The address cannot be listened on."""
EXIT_ORPHAN: Final = 6
"""The parent process had gone before the engine could tie its life to it."""

Code = Literal[
    "body_too_large",
    "context_length_exceeded",
    "engine_failed",
    "generation_failed",
    "invalid_json",
    "invalid_value",
    "method_not_allowed",
    "model_loading",
    "model_not_found",
    "not_found",
    "overloaded",
    "shutting_down",
    "unsupported",
    "unsupported_schema",
]
"""The closed list of `error.code` values this engine answers with."""


class EngineError(Exception):
    """Base of all errors raised in `local_models.llama`."""


class StartError(EngineError):
    """The engine cannot start or go on; the text is the one line a person gets to read."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RequestError(EngineError):
    """One request is answered with an error; nothing else is affected."""

    def __init__(
        self, status: int, code: Code, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        """Seconds for the `retry-after` header; every 503 has it."""

    @property
    def kind(self) -> str:
        """OpenAI's `error.type`."""
        return "invalid_request_error" if self.status < 500 else "server_error"


class SchemaError(EngineError):
    """A JSON schema is over a limit, contradicts itself or uses what the grammar cannot enforce."""


class KeywordError(SchemaError):
    """A JSON schema constrains values in a way that no grammar here can express."""


class TemplateError(EngineError):
    """The chat template refused these messages or could not be applied to them."""
