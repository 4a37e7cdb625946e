"""Which of an engine's servers answers: one that has the beginning of the prompt in its cache, unless it has more than
its share to do; otherwise the one that has the least. Pure.

What a server has to do is what we have sent it, which is known at once, and what others have: the requests that it
says it has and we have not sent, as of its last scrape.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

from gateway.messages import Message
from gateway.types import Replica

SHARE: Final = 1.25
"""A server is kept to for its cache up to this much more than the mean (consistent hashing with bounded loads,
Mirrokni, Thorup and Zadimoghaddam 2016, who call it c = 1 + ε)."""
DOUBT_S: Final = 3.0
"""The engine host looks each second, and fences after three failures."""
_REMEMBERED: Final = 4096
"""Prefixes; a server's cache forgets them too."""


class Balancer:
    """Of one engine's servers. Told what is sent to each and what of it is over."""

    def __init__(self) -> None:
        self._replicas: Sequence[Replica] = ()
        self._ours: Counter[str] = Counter()
        self._others: dict[str, int] = {}
        self._doubted: dict[str, float] = {}
        self._homes: OrderedDict[int, str] = OrderedDict()

    def see(self, replicas: Sequence[Replica]) -> None:
        """How they are. What was seen before costs nothing."""
        if replicas is self._replicas:
            return
        self._replicas = replicas
        self._others = {each.url: max(0, (each.requests or 0) - self._ours[each.url]) for each in replicas}

    def choose(self, now: float, prefixes: Sequence[int] = (), tried: Collection[str] = ()) -> str | None:
        """The url of the one that is to answer; None while none takes requests. `now` is monotonic, `prefixes` stand
        for beginnings of the prompt, the longest first. Those that were `tried` are not asked once more.

        One that wavers or is doubted is asked where nobody better is left: one bad answer of each shuts nobody out.
        """
        able = [each for each in self._replicas if each.ready and each.url not in tried]
        if not able:
            return None
        trusted = [each for each in able if self._trusted(each.url, now)] or able
        ready = [each.url for each in trusted if not each.wavering] or [each.url for each in trusted]
        loads = {url: self._load(url) for url in ready}
        most = math.ceil(SHARE * (sum(loads.values()) + 1) / len(ready))
        homes = (self._homes.get(prefix) for prefix in prefixes)
        fitting = (url for url in homes if url in loads and loads[url] < most)
        url = next(fitting, None) or min(ready, key=loads.__getitem__)
        for prefix in prefixes:
            self._homes[prefix] = url
            self._homes.move_to_end(prefix)
        while len(self._homes) > _REMEMBERED:
            self._homes.popitem(last=False)
        return url

    def sent(self, url: str) -> None:
        """A request is on its way to it."""
        self._ours[url] += 1

    def over(self, url: str) -> None:
        """One of those has been answered, or given up."""
        self._ours[url] -= 1

    def doubt(self, url: str, now: float) -> None:
        """It takes no connections, or broke one off: the last to be asked until it will have been looked at."""
        self._doubted[url] = now

    def _trusted(self, url: str, now: float) -> bool:
        return now - self._doubted.get(url, -math.inf) > DOUBT_S

    def _load(self, url: str) -> int:
        return self._ours[url] + self._others[url]


def prefixes(messages: Sequence[Message]) -> tuple[int, ...]:
    """What stands for the beginnings of a chat that others share: up to the first words of its user, with which each
    of its turns begins, and before them, with which every chat of an application does.
    """
    before: list[tuple[str, str]] = []
    for message in messages:
        turn = (message.role, message.text())
        if message.role == "user":
            return (hash((*before, turn)), *((hash(tuple(before)),) if before else ()))
        before.append(turn)
    return (hash(tuple(before)),)
