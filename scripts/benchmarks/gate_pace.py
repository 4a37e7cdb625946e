"""How the recorded engine shared its steps, which is not how it does that now: see `local_models.llama.pace`.

It knew one number for a prompt token wherever it stands, and evaluated everything in one call. A new recording makes
this superfluous.
"""

from collections.abc import Sequence
from typing import Final

from local_models.llama.pace import Left, Pace
from local_models.llama.shares import Shares, crowd, share

_STRETCH: Final = 2.25
_MEMORY: Final = 0.2
_OUTLIER: Final = 2.0


class RecordedPace(Pace):
    """As many tokens as fit into what the streams can spare, half of them for the first prompt; a crowd gets a step."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots, Shares())
        self._steps: list[float | None] = [None] * (slots + 1)
        self._token: float | None = None

    def took(self, running: int, prompts: Sequence[Left], seconds: float, *, beside: bool) -> None:
        """A step took so long."""
        if not running or not beside:
            return
        if not prompts:
            self._steps[running] = _blend(self._steps[running], seconds)
        elif (step := self._nearest(running)) is not None:
            tokens = sum(prompt.tokens for prompt in prompts)
            self._token = _blend(self._token, max(seconds - step, 0.0) / tokens)

    def beside(self, prompts: Sequence[Left], running: int) -> list[int]:
        """How many tokens of each prompt the next step takes."""
        shares, step = self._shares, self._nearest(running)
        if step is None or self._token is None:
            budget = shares.first
        else:
            room = (_STRETCH - 1) * step
            budget = shares.beside if self._token * shares.beside <= room else int(room / self._token)
        remaining = [prompt.tokens for prompt in prompts]
        return crowd(remaining, running, shares) or share(remaining, max(shares.least, budget))

    def _nearest(self, running: int) -> float | None:
        known = [count for count, seconds in enumerate(self._steps) if seconds is not None]
        return self._steps[min(known, key=lambda count: abs(count - running), default=0)]


def _blend(before: float | None, seconds: float) -> float:
    if not before:
        return seconds
    return before + _MEMORY * (min(seconds, _OUTLIER * before) - before)
