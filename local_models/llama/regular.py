"""Regular expressions over characters and their deterministic automata. Pure.

llama.cpp's grammar engine follows every way of reading the text at once. An ambiguous grammar therefore costs time
that grows without bound (`^(a?){300}b$` written as rules takes three minutes for one token), and nothing can stop it.
Everything regular in a schema (strings, patterns, numbers, enums, property names) goes through here first and comes
out deterministic, where exactly one way is left after each character.

Automata are built with Brzozowski derivatives ("Derivatives of Regular Expressions", 1964), in the form with
character classes of Owens, Reppy and Turon ("Regular-expression derivatives re-examined", 2009). Expressions are
interned in an `Arena`: equal ones have equal numbers, which is what makes the set of states finite and comparing cheap.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final, Literal

from local_models.llama.characters import EVERY, Range, Ranges, union
from local_models.llama.errors import SchemaError

Expression = int
"""An expression's number in its arena."""

NOTHING: Final = 0
"""The expression that matches no text at all."""
EMPTY: Final = 1
"""The expression that matches the empty text only."""

MAX_WORK: Final = 15_000
"""Steps (expressions made, choices merged, derivatives taken) one arena may spend: some 20 to 40 ms, and under 100 on a
slow core."""
MAX_STATES: Final = 2_000
"""States of one automaton."""

_Kind = Literal["nothing", "empty", "chars", "seq", "alt", "both", "not", "repeat"]
_Node = tuple[_Kind, tuple[int, ...]]  # for "chars": low, high, low, high, …; else expressions and counts


@dataclass(frozen=True, slots=True)
class State:
    """`edges` lead on a character in the ranges to the state of that number; the ranges of two edges never meet."""

    edges: tuple[tuple[Ranges, int], ...]
    accepting: bool


class Arena:
    """Makes and interns expressions. Raises SchemaError when that takes more than `MAX_WORK` steps."""

    def __init__(self) -> None:
        self._nodes: list[_Node] = []
        self._numbers: dict[_Node, Expression] = {}
        self._nullable: list[bool] = []
        self._derived: dict[int, dict[Expression, Expression]] = {}  # by character
        self._cuts: dict[Expression, frozenset[int]] = {}
        self._work = 0
        self._intern(("nothing", ()), nullable=False)
        self._intern(("empty", ()), nullable=True)

    def chars(self, ranges: Ranges) -> Expression:
        """One character out of `ranges`."""
        return self._intern(("chars", tuple(chain.from_iterable(ranges))), nullable=False) if ranges else NOTHING

    def literal(self, text: str) -> Expression:
        """Exactly `text`."""
        return self.seq(*(self.chars(((ord(character), ord(character)),)) for character in text))

    def seq(self, *parts: Expression) -> Expression:
        """One part after the other."""
        result = EMPTY
        for part in reversed(parts):
            result = self._pair(part, result)
        return result

    def alt(self, *choices: Expression) -> Expression:
        """Any one of the choices."""
        flat = {choice for choice in choices if choice != NOTHING}
        for choice in [choice for choice in flat if self._nodes[choice][0] == "alt"]:
            flat.remove(choice)
            flat.update(self._nodes[choice][1])
        if len(flat) < 2:
            return flat.pop() if flat else NOTHING
        self._spend(len(flat))
        members = tuple(sorted(flat))
        return self._intern(("alt", members), nullable=any(self._nullable[member] for member in members))

    def both(self, left: Expression, right: Expression) -> Expression:
        """Texts that match left and right."""
        if left == right or NOTHING in (left, right):
            return left if left == right else NOTHING
        node: _Node = ("both", (min(left, right), max(left, right)))
        return self._intern(node, nullable=self._nullable[left] and self._nullable[right])

    def other(self, inner: Expression) -> Expression:
        """Texts that do not match `inner`."""
        kind, children = self._nodes[inner]
        if kind == "not":
            return children[0]
        return self._intern(("not", (inner,)), nullable=not self._nullable[inner])

    def repeat(self, inner: Expression, least: int, most: int | None) -> Expression:
        """`inner` at least `least` and at most `most` times (None: any number)."""
        if most == 0 or inner == EMPTY or (inner == NOTHING and least == 0):
            return EMPTY
        if (least, most) == (1, 1) or inner == NOTHING:
            return inner
        nullable = least == 0 or self._nullable[inner]
        least = 0 if self._nullable[inner] else least
        return self._intern(("repeat", (inner, least, -1 if most is None else most)), nullable=nullable)

    def words(self, words: list[str]) -> Expression:
        """Exactly one of `words`, with shared beginnings written once."""
        unique = sorted(set(words))
        return self._trie(unique, 0) if unique else NOTHING

    def any_text(self, expression: Expression) -> tuple[int, int | None] | None:
        """Least and most characters when `expression` means any text of such a length, else None."""
        kind, children = self._nodes[expression]
        if kind != "repeat" or children[0] != self.chars(EVERY):
            return None
        return children[1], None if children[2] < 0 else children[2]

    def automaton(self, start: Expression) -> tuple[State, ...]:
        """The states reachable from `start`, which is state 0, without those from which no text can end.

        The result is empty when nothing matches. Raises SchemaError beyond `MAX_STATES`.
        """
        numbers = {start: 0}
        order = [start]
        edges: list[dict[int, list[Range]]] = []
        for expression in order:  # grows while it is walked
            targets: dict[int, list[Range]] = {}
            for low, high in self._classes(expression):
                target = self._derive(expression, low)
                if target == NOTHING:
                    continue
                if target not in numbers:
                    numbers[target] = len(order)
                    order.append(target)
                    if len(order) > MAX_STATES:
                        raise SchemaError(
                            f"a pattern, enum or length needs more than the limit of {MAX_STATES:,} automaton states"
                        )
                targets.setdefault(numbers[target], []).append((low, high))
            edges.append(targets)
        return _pruned(edges, [self._nullable[expression] for expression in order])

    def disjoint(self, left: Expression, right: Expression) -> bool:
        """True when no text matches both."""
        return not self.automaton(self.both(left, right))

    def _spend(self, steps: int) -> None:
        self._work += steps
        if self._work > MAX_WORK:
            raise SchemaError(
                f"patterns, enums and bounds of this schema take more than the limit of {MAX_WORK:,} steps to prepare"
            )

    def _trie(self, words: list[str], depth: int) -> Expression:
        first, last = words[0], words[-1]  # sorted: what these two share, all share
        common = depth
        while common < min(len(first), len(last)) and first[common] == last[common]:
            common += 1
        groups: dict[str, list[str]] = {}
        for word in words:
            groups.setdefault(word[common : common + 1], []).append(word)
        tails = [
            self.seq(self.literal(head), self._trie(group, common + 1)) if head else EMPTY
            for head, group in groups.items()
        ]
        return self.seq(self.literal(first[depth:common]), self.alt(*tails))

    def _intern(self, node: _Node, *, nullable: bool) -> Expression:
        number = self._numbers.get(node)
        if number is None:
            self._spend(1)
            number = len(self._nodes)
            self._numbers[node] = number
            self._nodes.append(node)
            self._nullable.append(nullable)
        return number

    def _pair(self, left: Expression, right: Expression) -> Expression:
        if NOTHING in (left, right):
            return NOTHING
        if EMPTY in (left, right):
            return right if left == EMPTY else left
        kind, children = self._nodes[left]
        if kind == "seq":  # kept right-nested, so that equal texts are equal expressions
            first, rest = children
            return self._pair(first, self._pair(rest, right))
        return self._intern(("seq", (left, right)), nullable=self._nullable[left] and self._nullable[right])

    def _derive(self, expression: Expression, character: int) -> Expression:
        """What may follow `character`, a code point, in texts of `expression`."""
        by_expression = self._derived.setdefault(character, {})
        known = by_expression.get(expression)
        if known is None:
            self._spend(1)
            known = self._derive_node(expression, character, by_expression)
            by_expression[expression] = known
        return known

    def _derive_node(
        self, expression: Expression, character: int, known: Mapping[Expression, Expression]
    ) -> Expression:
        kind, children = self._nodes[expression]
        if kind == "chars":
            return EMPTY if any(low <= character <= high for low, high in _ranges_of(children)) else NOTHING
        if kind == "seq":
            left, right = children
            after = self._pair(self._derive(left, character), right)
            return self.alt(after, self._derive(right, character)) if self._nullable[left] else after
        if kind == "repeat":
            inner, least, most = children
            rest = self.repeat(inner, max(least - 1, 0), None if most < 0 else most - 1)
            return self._pair(self._derive(inner, character), rest)
        # Most of many choices are known already, and zero is nothing, not unknown.
        parts = [known[number] if number in known else self._derive(number, character) for number in children]
        if kind == "alt":
            return self.alt(*parts)
        if kind == "both":
            return self.both(*parts)
        return self.other(parts[0]) if kind == "not" else NOTHING

    def _classes(self, expression: Expression) -> list[Range]:
        """Ranges within which all characters have the same derivative; together they are every character."""
        edges = sorted(self._boundaries(expression) | {0, 0xD800, 0xE000, 0x110000})
        return [(low, high - 1) for low, high in pairwise(edges) if low != 0xD800]

    def _boundaries(self, expression: Expression) -> frozenset[int]:
        known = self._cuts.get(expression)
        if known is None:
            kind, children = self._nodes[expression]
            if kind == "chars":
                known = frozenset(edge for low, high in _ranges_of(children) for edge in (low, high + 1))
            elif kind == "seq":
                left, right = children
                known = self._boundaries(left)
                known = known | self._boundaries(right) if self._nullable[left] else known
            elif kind == "repeat":
                known = self._boundaries(children[0])
            else:
                known = frozenset().union(*(self._boundaries(number) for number in children))
            self._cuts[expression] = known
        return known


def _ranges_of(children: tuple[int, ...]) -> Iterator[Range]:
    """The ranges of a character class."""
    return zip(children[::2], children[1::2], strict=True)


def _pruned(edges: list[dict[int, list[Range]]], accepting: list[bool]) -> tuple[State, ...]:
    """Renumbered states, keeping those from which an accepting one can be reached."""
    sources: dict[int, list[int]] = {}
    for number, targets in enumerate(edges):
        for target in targets:
            sources.setdefault(target, []).append(number)
    alive = {number for number, accepts in enumerate(accepting) if accepts}
    pending = list(alive)
    while pending:
        for source in sources.get(pending.pop(), ()):
            if source not in alive:
                alive.add(source)
                pending.append(source)
    if 0 not in alive:
        return ()
    kept = {number: place for place, number in enumerate(sorted(alive))}
    return tuple(
        State(
            edges=tuple((union(ranges), kept[target]) for target, ranges in edges[number].items() if target in kept),
            accepting=accepting[number],
        )
        for number in kept
    )
