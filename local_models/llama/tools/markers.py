"""Finds where calls begin in a text that arrives in pieces. Pure."""

from dataclasses import dataclass

from local_models.llama.textstream import StopMatcher
from local_models.llama.tools.notation import Notation


@dataclass(frozen=True, slots=True)
class Found:
    """A marker of the notation, and how many characters of the latest piece lie before its end."""

    marker: str
    end: int


class MarkerWatch:
    """Fed with the text of one answer; of no use once a marker has been found."""

    def __init__(self, notation: Notation) -> None:
        self._at_start = notation.at_start
        self._matchers = [StopMatcher(marker) for marker in notation.markers]
        self._written = 0  # characters since the first that is not white space

    @property
    def held(self) -> int:
        """Characters at the end of the text so far that may be the beginning of a marker."""
        return max((matcher.matched for matcher in self._matchers), default=0)

    def feed(self, piece: str) -> Found | None:
        """Take in more text; the first marker that it completes."""
        for place, character in enumerate(piece):
            if self._at_start and not self._written and character.isspace():
                continue
            self._written += 1
            for matcher in self._matchers:
                if matcher.feed(character):
                    return Found(matcher.pattern, place + 1)
            if self._at_start:
                self._matchers = [matcher for matcher in self._matchers if matcher.matched == self._written]
        return None
