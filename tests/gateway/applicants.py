"""Those who come to the gate."""

import asyncio
import math
from typing import Any

from gateway.gate import Applicant, Ask, Elsewhere
from gateway.types import SlaClass
from tests.gateway.nouns import SLA

CLOUD = Elsewhere(1_000_000)


def applicant(sla: SlaClass = SLA, *, alone: bool = True, prompt: int = 10, **more: Any) -> Applicant:
    """Somebody of this class, who has come just now. Unless `alone`, a cloud may answer."""
    now = asyncio.get_running_loop().time()
    asked = Ask(prompt=prompt, arrived_at=now, first_s=sla.ttft_s, gap_s=sla.itl_s, priority=sla.priority)
    usual: dict[str, Any] = {"elsewhere": None if alone else CLOUD, "deadline": math.inf}
    return Applicant(**{"ask": asked, **usual, **more})
