"""The fault server, which takes only what the official clients' own types allow: `python -m tests.faults.strict`."""

import asyncio
import sys
from typing import Any

from tests.faults.chat_types import ChatTypes
from tests.faults.message_types import MessageTypes
from tests.faults.server import main


class OfficialTypes:
    """A judge of bodies by their path."""

    def __init__(self) -> None:
        self._chat = ChatTypes()
        self._messages = MessageTypes()

    def __call__(self, path: str, body: dict[str, Any]) -> str | None:
        """What is wrong with a body."""
        if path.startswith("/v1/messages"):
            return self._messages.problem(body, count=path.endswith("/count_tokens"))
        return self._chat.problem(body)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:], OfficialTypes()))
