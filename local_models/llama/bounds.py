"""JSON numbers within bounds, as regular expressions over their digits. Pure.

Every text generated is inside the bounds; not every number inside them can be generated (at most 16 digits before
and after the point, exponents only where there are no bounds).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from local_models.llama.errors import SchemaError
from local_models.llama.regular import EMPTY, NOTHING, Arena, Expression

LARGEST: Final = 10**16 - 1
"""Bound where the schema gives none: integers up to here survive a double, nearly."""
_EXTRA_DIGITS: Final = 6
_MAX_DECIMALS: Final = 12
_MAX_MAGNITUDE: Final = 10**30


@dataclass(frozen=True, slots=True)
class Bounds:
    """From `low` to `high`; None means open on that side; the flags say that the bound itself is left out."""

    low: Decimal | None = None
    high: Decimal | None = None
    above: bool = False
    below: bool = False


class Digits:
    """Builds expressions for numbers in one arena."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.digit = arena.chars(((0x30, 0x39),))
        self.nonzero = arena.chars(((0x31, 0x39),))
        self._known: dict[tuple[Bounds, bool], Expression] = {}

    def within(self, bounds: Bounds, *, whole: bool) -> Expression:
        """Numbers, or only integers (`whole`), within bounds."""
        key = (bounds, whole)
        if key not in self._known:
            self._known[key] = self._integer(bounds) if whole else self._number(bounds)
        return self._known[key]

    def _integer(self, bounds: Bounds) -> Expression:
        low = bounds.low.to_integral_value("ROUND_CEILING") if bounds.low is not None else None
        high = bounds.high.to_integral_value("ROUND_FLOOR") if bounds.high is not None else None
        above = bounds.above and low == bounds.low
        below = bounds.below and high == bounds.high
        first, last = _closed(Bounds(low, high, above=above, below=below), 1)
        positive = self._fixed(max(first, 0), last, 0)
        negative = self._fixed(max(-last, 1), -first, 0)
        return self.arena.alt(positive, self._minus(negative))

    def _number(self, bounds: Bounds) -> Expression:
        if bounds.low is None and bounds.high is None:
            return self._any_number()
        decimals = _decimals(bounds)
        first, last = _closed(bounds, 10**decimals)
        positive = self._side(max(first, 0), last, decimals, whole_last=bounds.below)
        if first >= 0:
            return positive
        # From 0 on: between -1 and 0 only the digits after the point tell a number from zero.
        negative = self._side(max(-last, 0), -first, decimals, whole_last=bounds.above)
        return self.arena.alt(positive, self._minus(negative))

    def _any_number(self) -> Expression:
        arena, digit = self.arena, self.digit
        whole = arena.alt(arena.literal("0"), arena.seq(self.nonzero, arena.repeat(digit, 0, 15)))
        fraction = arena.seq(arena.literal("."), arena.repeat(digit, 1, 16))
        sign = arena.alt(arena.literal("+"), arena.literal("-"), EMPTY)
        marker = arena.chars(((0x45, 0x45), (0x65, 0x65)))
        exponent = arena.seq(marker, sign, arena.repeat(digit, 1, 2))
        return arena.seq(
            arena.repeat(arena.literal("-"), 0, 1), whole, arena.repeat(fraction, 0, 1), arena.repeat(exponent, 0, 1)
        )

    def _minus(self, inner: Expression) -> Expression:
        return self.arena.seq(self.arena.literal("-"), inner)

    def _side(self, low: int, high: int, decimals: int, *, whole_last: bool) -> Expression:
        """Numbers without sign from `low` to `high`, counted in units of 10^-decimals.

        Further digits may follow every value but `high`, which they would carry out of bounds, unless the bound is
        excluded: then `high` lies one unit inside it and is the beginning of allowed numbers as a whole.
        """
        choices = [self._fixed(-(-low // 10**cut), high // 10**cut, decimals - cut) for cut in range(decimals + 1)]
        longer = self._fixed(low, high if whole_last else high - 1, decimals)
        point = EMPTY if decimals else self.arena.literal(".")
        choices.append(self.arena.seq(longer, point, self.arena.repeat(self.digit, 1, _EXTRA_DIGITS)))
        return self.arena.alt(*choices)

    def _fixed(self, low: int, high: int, decimals: int) -> Expression:
        """Numbers from `low` to `high` in units of 10^-decimals, with exactly that many digits after the point."""
        if low > high:
            return NOTHING
        choices = []
        for width in range(1, max(len(str(high)) - decimals, 1) + 1):
            first = max(low, 10 ** (width - 1 + decimals) if width > 1 else 0)
            last = min(high, 10 ** (width + decimals) - 1)
            if first <= last:
                size = width + decimals
                choices.append(self._between(f"{first:0{size}d}", f"{last:0{size}d}", decimals))
        return self.arena.alt(*choices)

    def _between(self, low: str, high: str, decimals: int) -> Expression:
        """Digit strings of equal length from `low` to `high`, with a point before the last `decimals` of them."""
        if not low:
            return EMPTY
        if not low.strip("0") and not high.strip("9"):
            return self._all(len(low), decimals)
        point = self.arena.literal(".") if len(low) == decimals else EMPTY
        first, last = low[0], high[0]
        if first == last:
            rest = self._between(low[1:], high[1:], decimals)
            return self.arena.seq(point, self.arena.literal(first), rest)
        size = len(low) - 1
        choices = [
            self.arena.seq(self.arena.literal(first), self._between(low[1:], "9" * size, decimals)),
            self.arena.seq(self.arena.literal(last), self._between("0" * size, high[1:], decimals)),
        ]
        if ord(last) - ord(first) > 1:
            inner = self.arena.chars(((ord(first) + 1, ord(last) - 1),))
            choices.append(self.arena.seq(inner, self._between("0" * size, "9" * size, decimals)))
        return self.arena.seq(point, self.arena.alt(*choices))

    def _all(self, size: int, decimals: int) -> Expression:
        """Every string of `size` digits, with a point before the last `decimals` of them."""
        if decimals == 0 or size < decimals:
            return self.arena.repeat(self.digit, size, size)
        whole = self.arena.repeat(self.digit, size - decimals, size - decimals)
        return self.arena.seq(whole, self.arena.literal("."), self.arena.repeat(self.digit, decimals, decimals))


def _closed(bounds: Bounds, scale: int) -> tuple[int, int]:
    """First and last value inside the bounds in units of 1/scale, which the bounds are multiples of."""
    first = last = None
    if bounds.low is not None:
        first = int(bounds.low * scale) + bounds.above
    if bounds.high is not None:
        last = int(bounds.high * scale) - bounds.below
    reach = LARGEST * scale
    if first is None:
        first = min(-reach, last or 0)
    if last is None:
        last = max(reach, first)
    return first, last


def _decimals(bounds: Bounds) -> int:
    """Digits after the point that the bounds need; two more where a bound is excluded, to leave room inside it."""
    places = 0
    for bound in (bounds.low, bounds.high):
        if bound is not None:
            exponent = bound.normalize().as_tuple().exponent
            places = max(places, -exponent if isinstance(exponent, int) else 0)
    places += 2 if bounds.above or bounds.below else 0
    if places > _MAX_DECIMALS:
        raise SchemaError(f"a bound has more than the limit of {_MAX_DECIMALS} decimals")
    return places


def bound(value: float) -> Decimal:
    """A bound from the schema, exactly as written there."""
    exact = Decimal(str(value))
    if not exact.is_finite() or abs(exact) > _MAX_MAGNITUDE:
        raise SchemaError(f"the bound {value!r} is over the limit of 1e30")
    return exact
